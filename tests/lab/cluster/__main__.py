"""Owns the experiment: three Redis masters with replicas, two Tornado servers behind nginx, load, and a master killed.

Every visitor sets a number in their session, one higher each time. What was answered 303 is an acknowledged change; at the
end the stored number tells whether one of them was lost. It prints figures and judges nothing. `make cluster` starts it.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from browser.servers import free_ports, nginx
from client import Browser
from interop.processes import Process
from stores.redis_server import RedisCluster

from sessions import now_ms
from sessions.errors import StoreError
from sessions.stores.redis import RedisStore

from .. import ROOT

SECRET = "of-the-experiment-and-as-long-as-the-server-demands"
NODE_TIMEOUT = 2_000
"""Milliseconds after which the nodes of the cluster count one of them as failing."""

SITE = """
upstream sessions {{ {servers} }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://sessions;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto http;
    }}
}}
"""


class Answer(NamedTuple):
    """When it came, in seconds since the load began, and its status; 0 for none."""

    at: float
    status: int


class Visitor:
    """One browser, which changes its session again and again."""

    def __init__(self, port: int) -> None:
        self.browser = Browser(port, now_ms)
        self.acknowledged = 0
        self.answers: list[Answer] = []

    async def come(self) -> None:
        """Get a session and the token of its forms."""
        page = await self.browser.fetch("/")
        found = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert found is not None, page.text
        self._token = found[1]

    async def stay(self, begin: float, seconds: float, pause: float) -> None:
        """Set the next number until the time is over, whatever is answered."""
        number = 0
        while time.monotonic() - begin < seconds:
            number += 1
            form = f"_xsrf={self._token}&key=n&value={number}".encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            response = await self.browser.fetch("/set", method="POST", body=form, headers=kind)
            self.answers.append(Answer(time.monotonic() - begin, response.status))
            if response.status == 303:
                self.acknowledged = number
            await asyncio.sleep(pause)


async def measure(port: int, cluster: RedisCluster, *, visitors: int, before: float, after: float) -> None:
    """Load, a kill, and the figures."""
    people = [Visitor(port) for _ in range(visitors)]
    await asyncio.gather(*(each.come() for each in people))
    killed: list[float] = []

    async def kill() -> None:
        await asyncio.sleep(before)
        await asyncio.to_thread(cluster.masters[0].kill)
        killed.append(time.monotonic() - begin)

    keys = {key.decode() for key in cluster.masters[0].command("KEYS", "sess:*")}
    others = [each for each in people if f"sess:{each.browser.sid}" not in keys]
    begin = time.monotonic()
    await asyncio.gather(kill(), *(each.stay(begin, before + after, 0.02) for each in people))

    answers = sorted(answer for each in people for answer in each.answers)
    failed = [answer for answer in answers if answer.status != 303]
    late = [answer for answer in failed if answer.at >= killed[0]]
    lost = missing = 0
    async with RedisStore(cluster.url) as store:
        for each in people:
            try:
                row = await store.get(each.browser.sid or "")
            except StoreError as error:
                sys.exit(f"a session cannot be read at the end: {error}")
            missing += row is None
            lost += max(0, each.acknowledged - (json.loads(row.data).get("n", 0) if row else 0))

    print(f"visitors {visitors}, two servers behind nginx, cluster-node-timeout {NODE_TIMEOUT} ms")
    print(f"master killed after {killed[0]:.1f} s; load went on for {after:.0f} s")
    print(f"requests answered          {len(answers)}")
    print(f"of them failed             {len(failed)} {dict(Counter(answer.status for answer in failed))}")
    apart = sum(answer.status != 303 for each in others for answer in each.answers)
    print(
        f"on the other masters       {apart} of {sum(len(each.answers) for each in others)}, of {len(others)} visitors"
    )
    print(f"failed before the kill     {len(failed) - len(late)}")
    print(
        f"degraded service           {late[-1].at - killed[0] if late else 0:.1f} s, from the kill to the last failure"
    )
    print(f"acknowledged changes       {sum(each.acknowledged > 0 for each in people)} sessions, "
          f"{sum(answer.status == 303 for answer in answers)} changes")  # fmt: skip
    print(f"acknowledged changes lost  {lost}")
    print(f"sessions lost              {missing}")


def main() -> None:
    """Start everything, measure, end everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=60)
    parser.add_argument("--before", type=float, default=5.0, help="seconds of load before the kill")
    parser.add_argument("--after", type=float, default=15.0, help="and after it")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-")))
        options: dict[str, Any] = {"cluster_node_timeout": NODE_TIMEOUT, "cluster_require_full_coverage": "no"}
        cluster = stack.enter_context(RedisCluster(replicas=1, **options))
        ports = []
        for name in ("one", "two"):
            config = folder / f"{name}.toml"
            config.write_text(
                f'[server]\nport = 0\n[session]\nsaveUninitialized = true\nproxy = true\nstore = "{cluster.url}"\n'
                "[redis]\ntimeout = 1000\n"
            )
            command = [sys.executable, ROOT / "server.py", "--config", config]
            env = {"PATH": os.environ["PATH"], "SESSION_SECRET": SECRET}
            server = stack.enter_context(Process(command, cwd=folder, env=env))
            ports.append(int(server.find(r"Server listening on port (\d+)\n")[1]))
        (front,) = free_ports(1)
        servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
        stack.enter_context(nginx(folder, SITE.format(servers=servers, port=front)))
        asyncio.run(measure(front, cluster, visitors=given.visitors, before=given.before, after=given.after))


if __name__ == "__main__":
    main()
