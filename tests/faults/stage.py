"""The stage of the fault table: a mysqld with the component, sidecars of several kinds, and endpoints that come and go.

Knows how the parts fit, and how a session sees a statement end; nothing of which faults there are."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from tests.faults.home import faulty_home
from tests.faults.sessions import CALL, CONNECT_MS, TIMEOUT_MS, Seen, Sessions, start_mysqld
from tests.faults.sidecars import Ports, sidecar
from tests.faults.talks import Tunnel, answers
from tests.support.http_peer import Peer, Talk, peer
from tests.support.loop_thread import LoopThread, loop_thread
from tests.support.small_disk import SmallDisk
from tests.support.stack import Library
from tests.support.sts_endpoint import StsEndpoint, sts_endpoint
from tests.support.tls import Certificates
from tests.support.waiting import wait_until
from tests.support.wall_clock import WallClock

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.sidecar import SidecarProcess


class Stage(Sessions):
    """Made by `stage`. A row calls `begin` first; it has a session and a way to its sidecar of its own then, so that
    no connection of the row before is used."""

    def __init__(self, directory: Path, mysqld: Mysqld, loop: LoopThread, clock: WallClock) -> None:
        super().__init__(mysqld)
        self.directory, self.clock = directory, clock
        self.disk = SmallDisk(directory / "disk", megabytes=8)
        self.ports = Ports.free()
        self.certificates = Certificates(directory)
        self._loop = loop
        self._peers: list[Peer] = []
        self._sidecars: dict[str, SidecarProcess] = {}
        self._numbers = itertools.count()
        self._kind = ""

    @contextlib.contextmanager
    def under_way(self, sql: str = CALL) -> Iterator[Future[Seen]]:
        """The endpoint has the call, and has not answered yet."""
        invoked = self.invoked
        call = self.start(sql)
        self.wait_until_invoked(invoked + 1)
        yield call

    # ---- a row ----

    def begin(self, kind: str) -> None:
        """With a sidecar of that kind (sidecars.py)."""
        self.lead_to(kind)
        self.call_anew()
        self._peers.clear()

    def lead_to(self, kind: str) -> None:
        """From the next statement on."""
        self._kind = kind
        self.path = self.directory / f"{next(self._numbers)}.sock"
        self.path.symlink_to(self.sidecar.socket)
        self.query(f"SET GLOBAL lambda_udf.socket = '{self.path}'")

    @property
    def sidecar(self) -> SidecarProcess:
        """This row's, which runs when the row begins."""
        made = self._sidecars.get(self._kind)
        if made is None:
            made = sidecar(self._kind, self.directory / self._kind, self.ports, self.certificates, self.clock)
            self._sidecars[self._kind] = made.start()
        return made

    @property
    def invoked(self) -> int:
        """How many requests of this row the endpoint has got whole."""
        return sum(each.whole for each in self._peers)

    def wait_until_invoked(self, times: int = 1) -> None:
        wait_until(lambda: self.invoked >= times, what="the request at the endpoint")

    @contextlib.contextmanager
    def endpoint(self, talk: Talk, certificate: str = "") -> Iterator[Peer]:
        """Lambda, while the block runs; with TLS where a certificate is named, else by what the sidecar expects."""
        name = certificate or ("good" if self._kind in ("tls", "proxied") else "plain")
        with self._loop.within(peer(talk, self.certificates.context(name), port=self.ports.endpoint)) as made:
            self._peers.append(made)
            yield made

    @contextlib.contextmanager
    def proxy(self, talk: Talk) -> Iterator[Peer]:
        """What the `proxied` sidecar connects to."""
        with self._loop.within(peer(talk, port=self.ports.proxy)) as made:
            yield made

    @contextlib.contextmanager
    def sts(self) -> Iterator[StsEndpoint]:
        """What the sidecar with `roles` asks."""
        with sts_endpoint(port=self.ports.sts) as made:
            yield made

    @contextlib.contextmanager
    def all_well(self) -> Iterator[None]:
        """Everybody is there and does as they should."""
        with contextlib.ExitStack() as exits:
            exits.enter_context(self.endpoint(answers()))
            if self._kind == "proxied":
                exits.enter_context(self.proxy(Tunnel(lambda *_: False).talk))
            if self._kind == "roles":
                exits.enter_context(self.sts())
            yield

    def close(self) -> None:
        super().close()
        for each in self._sidecars.values():
            each.stop()


@contextlib.contextmanager
def stage(mysql_home: Path, directory: Path, library: Library) -> Iterator[Stage]:
    """Its mysqld runs; a sidecar starts when a row is to use it."""
    (directory / "disk").mkdir()
    clock = WallClock(directory)
    environment = library.environment()
    preloaded = [environment[name] for name in ("LAMBDA_UDF_PRELOAD",) if name in environment]
    environment |= {
        **clock.variables,
        "LAMBDA_UDF_PRELOAD": ":".join([*preloaded, str(clock.library)]),
        "LAMBDA_UDF_SOCKET": str(directory / "plain/sidecar.sock"),
        "LAMBDA_UDF_CONNECT_TIMEOUT_MS": str(CONNECT_MS),
        "LAMBDA_UDF_TIMEOUT_MS": str(TIMEOUT_MS),
    }
    server = Mysqld(
        faulty_home(mysql_home, directory),
        directory / "mysql",
        library=library.path,
        environment=environment,
        options=(f"--innodb-directories={directory / 'disk'}", "--max-allowed-packet=64M"),
    )
    with contextlib.ExitStack() as exits:
        loop = exits.enter_context(loop_thread())
        exits.callback(server.stop)
        start_mysqld(server)
        made = Stage(directory, server, loop, clock)
        exits.callback(made.close)
        yield made
