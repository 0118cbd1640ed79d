"""The local Lambda: a real, small Lambda service on loopback for development, tests and demonstrations.
Of the sidecar it knows its own table of the configuration (config/local.py), and nothing of calls, gRPC or
credentials: the sidecar reaches it over HTTP, as it reaches Lambda.

The way of an invocation, file by file:

    guard.py         which requests pass at all
    invoke_api.py    Invoke and InvokeWithResponseStream: request -> invocation -> answer; invoke_request.py
                     how both are written, invoke_stream.py an answer in parts, event_stream.py its frames
    sources.py       what the functions folder is: function.py folders of functions, template/ a project with
                     a template; read anew at every invocation
    runtimes.py      Python, Node.js or a bootstrap; rapid_client.cjs helps AWS's client for Node.js
    slots.py         concurrency limits
    executions.py    durable executions by name: one runs, and who asks again gets to it
    events.py        invocations of type Event: queue and retries
    fleet.py         a warm worker, or a new one
    worker.py        one invocation on one worker: timeout, exit, log
    runtime_api.py   the Runtime API that its process speaks; runtime_answer.py reads the answer to an event,
                     connections.py what stands behind that
    parts.py         a streamed answer on its way from the process to whoever invoked it
    process.py       its process; launcher.py ties it to the sidecar's life
    output.py        what it prints, in the sidecar's log
    record.py        what was invoked; record_api.py serves it to tests

It does not have: other operations (so no checkpoints of durable functions), a bandwidth limit for streams,
layers, extensions, versions (every qualifier runs the folder's code, as $LATEST), dead-letter queues and
destinations, memory limits, freezing between invocations."""

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local.errors import LocalLambdaError
from lambda_sidecar.local.service import LocalLambda

__all__ = ["LocalLambda", "LocalLambdaError", "LocalLambdaSettings"]
