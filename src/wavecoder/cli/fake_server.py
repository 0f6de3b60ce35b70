"""The command that serves the fake endpoint, for dry runs and for trying out a recipe."""

from typing import Annotated

import typer

from wavecoder.llm.fake.faults import FAULTS

__all__ = ["fake_server"]


def fake_server(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    latency: Annotated[float, typer.Option(help="Seconds until a reply.")] = 0.0,
    jitter: Annotated[
        float, typer.Option(help="Share of the latency that is added or taken away at most.")
    ] = 0.0,
    slow: Annotated[
        str, typer.Option(help="Slow replies, SHARE:TIMES: 0.01:10 makes 1 % take ten times.")
    ] = "0:1",
    faults: Annotated[
        float, typer.Option(help="Share of requests that meet a fault, of all kinds evenly.")
    ] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Share of one fault: reset=0.05. Repeatable. Any of {', '.join(FAULTS)}."
        ),
    ] = None,
    refuse: Annotated[float, typer.Option(help="Share of verdicts in which a rule is no.")] = 0.2,
    structured: Annotated[
        bool, typer.Option("--structured", help="Honour response_format; else it is refused.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="Refuse requests without this key.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Refuse more with 429.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(help="Refuse more with 429.")] = None,
    down_after: Annotated[
        int | None, typer.Option(help="Go down once, at the request of this number.")
    ] = None,
    down_for: Annotated[float, typer.Option(help="Seconds it stays down.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides which requests meet a fault.")] = 0,
) -> None:
    """Serve a fake OpenAI-compatible endpoint on this machine, until Ctrl-C.

    It prints the model to put into a recipe. Its replies are made up, always the same for the same
    request, and mostly pass; GET /stats counts what happened.
    """
    import asyncio
    import signal

    from wavecoder.llm.fake.server import FakeServer

    slow_share, slow_factor = _slow(slow)
    server = FakeServer(
        FakeServer.Options(
            port=port,
            latency=latency,
            jitter=jitter,
            slow=slow_share,
            slow_factor=slow_factor,
            faults=faults,
            fault=dict(_rate(text) for text in fault or ()),
            refuse=refuse,
            structured=structured,
            key=key,
            requests_per_minute=requests_per_minute,
            max_in_flight=max_in_flight,
            down_after=down_after,
            down_for=down_for,
            seed=seed,
        )
    )

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with server:
            typer.echo(f"{server.url}#fake")
            await stop.wait()

    asyncio.run(serve())


def _rate(text: str) -> tuple[str, float]:
    """Read NAME=SHARE."""
    from wavecoder.errors import ConfigError

    name, _, share = text.partition("=")
    try:
        return name.strip(), float(share)
    except ValueError as error:
        raise ConfigError(f"--fault is {text!r}; give NAME=SHARE, such as reset=0.05.") from error


def _slow(text: str) -> tuple[float, float]:
    """Read SHARE:TIMES."""
    from wavecoder.errors import ConfigError

    share, _, times = text.partition(":")
    try:
        return float(share), float(times)
    except ValueError as error:
        raise ConfigError(f"--slow is {text!r}; give SHARE:TIMES, such as 0.01:10.") from error
