"""The Lambda that everything calls: Debian's nginx on loopback, with a configuration and a folder of its own.

Knows nginx; nothing of who calls. Functions: `echo` answers at once with the payload, `delayed-NNN` after so
many milliseconds; `sleep-N` answers ANSWER after N seconds; `batch-N` answers at once, in Redshift's
contract, with N results. Event invocations get 202 and no body; when one of a function whose name begins with
`marked` has been answered, a datagram to the socket `marks` says so."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import urllib.request
from pathlib import Path

from lambda_sidecar.testing.process import ServerError, ServerProcess
from lambda_sidecar.testing.server import Server

REQUEST_ID = "8f5c2a6e-1f0b-4c58-9b4e-0d5c7a1e2b3c"
ANSWER = '{"ok": true}'
BATCH_ROWS = 5000
"""Of the one batch-N that there is."""
# Where Debian's packages libnginx-mod-http-echo and libnginx-mod-http-headers-more-filter put them.
MODULES = Path("/usr/lib/nginx/modules")
MODULE_NAMES = ("ngx_http_echo_module.so", "ngx_http_headers_more_filter_module.so")

# One worker: it uses a twentieth of what its callers use (README.md, "The upstream"). A body stays in memory
# and goes back with Content-Length, as Lambda's does; echo alone would send it in chunks.
CONFIGURATION = """\
{modules}
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  log_format mark $msec;
  map $uri $is_marked {{ default ""; ~[/:]marked 1; }}
  access_log syslog:server=unix:{marks},nohostname mark if=$is_marked;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 8m;
  client_body_buffer_size 8m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  geo $dollar {{ default "$"; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    more_set_headers "X-Amzn-RequestId: {request_id}" "X-Amz-Executed-Version: ${{dollar}}LATEST";
    if ($http_x_amz_invocation_type = Event) {{ return 202; }}
    location ~ [/:]echo/invocations$ {{
      echo_read_request_body;
      more_set_headers "Content-Length: $content_length";
      {echo}
    }}
    location ~ [/:]delayed-([0-9][0-9][0-9])/invocations$ {{
      echo_read_request_body;
      more_set_headers "Content-Length: $content_length";
      echo_sleep 0.$1;
      echo_request_body;
    }}
    location ~ [/:]batch-([0-9]+)/invocations$ {{
      root {folder};
      error_page 405 =200 /batch-$1.json;
      return 405;
    }}
    location ~ ^/batch-[0-9]+[.]json$ {{
      internal;
      root {folder};
      error_page 405 =200 $uri;
    }}
    location ~ [/:]sleep-([0-9]+)/invocations$ {{
      echo_sleep $1;
      more_set_headers "Content-Length: {answer_length}";
      echo -n '{answer}';
    }}
    location = /status {{ stub_status; }}
  }}
}}
"""
ECHO = "echo_request_body;"


class Upstream(Server):
    """nginx; everything of it is in `directory`."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.configuration = directory.absolute() / "nginx.conf"
        self.marks = directory.absolute() / "marks.sock"
        super().__init__("nginx", directory, directory / "nginx.log", ("-c", str(self.configuration)))

    def _spawn(self) -> ServerProcess:
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise ServerError("there is no nginx: `make bench` says how to get it")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        answer = {"success": True, "num_records": BATCH_ROWS, "results": list(range(BATCH_ROWS))}
        (self.directory / f"batch-{BATCH_ROWS}.json").write_text(json.dumps(answer), encoding="utf-8")
        self.configuration.write_text(self._configuration_text(), encoding="utf-8")
        return ServerProcess.spawn(
            [program, "-p", str(self.directory), "-e", "stderr", *self.identity],
            log=self.log,
            environment={},
            dies_with_us=signal.SIGTERM,
        )

    def _configuration_text(self) -> str:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return CONFIGURATION.format(
            modules="\n".join(f"load_module {MODULES / name};" for name in MODULE_NAMES),
            user="user root;" if os.geteuid() == 0 else "",
            files=files,
            connections=min(16384, files - 64),
            folder=self.directory.absolute(),
            marks=self.marks,
            port=self.port,
            request_id=REQUEST_ID,
            echo=ECHO,
            answer=ANSWER,
            answer_length=len(ANSWER),
        )

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def in_progress(self) -> int:
        """How many requests it is answering now, without the one that asks."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/status", timeout=10) as answer:
            words = answer.read().decode().split()
        return int(words[words.index("Writing:") + 1]) - 1
