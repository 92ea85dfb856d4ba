"""Embed a host in a trio program: load an extension, listen to what it publishes, feed it events, call it.

Run it from the root of the repository (`make demo` has made `.venv`): `.venv/bin/python examples/embed_trio.py`
"""

from pathlib import Path

import trio

from desk.host import Host

WIDGET = Path(__file__).parent / "weather-widget" / "weather-widget.wasm"


async def main() -> object:
    """Return the statistics that the extension kept of three days."""
    async with Host() as host:
        # Nothing is granted by default. This much it needs to hear of the weather, and no more.
        await host.load(WIDGET, grants={"bus": ["subscribe:weather.observed"]})
        for day, high, low in [(1, 12.8, 5.0), (2, 10.6, 2.8), (3, 11.7, 7.2)]:
            await host.publish(
                "weather.observed",
                {
                    "date": f"2012-01-0{day}",
                    "precipitation": 0.3 * day,
                    "temp_max": high,
                    "temp_min": low,
                    "wind": 4.7,
                    "weather": "rain",
                },
            )
        # The call queues up behind the events in the extension's mailbox, so it sees all three.
        return await host.call("weather-widget", "statistics")


if __name__ == "__main__":
    print(trio.run(main))
