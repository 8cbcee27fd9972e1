"""Clients of a reward server, for ``benchmarks/serve.py``: nothing but the standard library.

    python benchmarks/serve_client.py PORT FOLDER CLIENTS FIRST COUNT

Asks for COUNT images of FOLDER from the number FIRST on, one a request, and prints each number and
its reward as soon as it is answered.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock


class Client:
    """One connection, as a trainer's."""

    def __init__(self, port: int, folder: Path, reward: str, headline: str) -> None:
        self.reward, self.headline = reward, headline
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self.folder = folder
        self.items = json.loads((folder / "items.json").read_text())

    def ask(self, numbers: Sequence[int], path: str = "/score") -> list[float]:
        requests = [
            {
                "history": [{"text": self.items[n]["prompt"], "image_b64": self._image(n)}],
                "required_rewards": [self.reward],
                "metadata": self.items[n],
            }
            for n in numbers
        ]
        body = json.dumps({"requests": requests})
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        found = json.loads(self.connection.getresponse().read())
        return [own[self.reward][self.headline] for own in found["results"]]

    def _image(self, number: int) -> str:
        return base64.b64encode((self.folder / f"{number}.png").read_bytes()).decode()


def main(port: int, folder: Path, clients: int, first: int, count: int) -> None:
    alone = Lock()

    def ask(number: int) -> None:
        own = Client(port, folder, "geneval:share", "share")
        for n in range(first + number, first + count, clients):
            (value,) = own.ask([n])
            with alone:
                print(json.dumps([n, value]), flush=True)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
