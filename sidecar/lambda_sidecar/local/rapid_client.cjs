// Stands in for rapid-client.node, the HTTP client that aws-lambda-ric compiles when npm installs it: with this, node's
// own HTTP does, and neither compiler nor cmake is needed (npm install --ignore-scripts). What was compiled is preferred.
// Loaded by node --require. Knows the requests of the Runtime API; handlers are run by aws-lambda-ric's own code.
"use strict";
const http = require("node:http");
const Module = require("node:module");
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");

const [host, port] = (process.env.AWS_LAMBDA_RUNTIME_API || "").split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function request(method, path, body, done, failed) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
  const options = { host, port, agent, method, headers, path: `/2018-06-01/runtime/invocation/${path}` };
  http
    .request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => done(Buffer.concat(chunks).toString(), response));
      response.on("error", failed);
    })
    .on("error", failed)
    .end(body);
}

// The compiled client has an answer delivered before it returns: whoever exits right after it has answered. A thread
// sends it, and this one waits.
function makeClient() {
  const delivered = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(__filename, { workerData: { rapidClient: delivered }, execArgv: [] });
  thread.unref();
  const post = (path, body) => {
    Atomics.store(delivered, 0, 0);
    thread.postMessage({ path, body });
    Atomics.wait(delivered, 0, 0);
  };
  return {
    next: () =>
      new Promise((resolve, reject) => {
        const answered = (bodyJson, { statusCode, headers }) => {
          if (statusCode === 200) resolve({ bodyJson, headers });
          else reject(new Error(`Failed to get next invocation, error ${statusCode}`)); // as the compiled client says it
        };
        request("GET", "next", undefined, answered, reject);
      }),
    done: (id, body) => post(`${id}/response`, body),
    error: (id, body) => post(`${id}/error`, body),
  };
}

function serve(delivered) {
  const finish = () => {
    Atomics.store(delivered, 0, 1);
    Atomics.notify(delivered, 0);
  };
  // As the compiled client does, it leaves an answer that nobody takes at that.
  parentPort.on("message", ({ path, body }) => request("POST", path, body, finish, finish));
}

if (!isMainThread && workerData && workerData.rapidClient) {
  serve(workerData.rapidClient);
} else if (isMainThread) {
  const load = Module._load;
  Module._load = function (name, ...rest) {
    if (!/[\\/]rapid-client\.node$/.test(name)) return load.call(this, name, ...rest);
    Module._load = load;
    try {
      return load.call(this, name, ...rest);
    } catch {
      return makeClient();
    }
  };
}
