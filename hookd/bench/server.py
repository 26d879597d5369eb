"""The yardstick of intake: a bare aiohttp server with one route that reads the body and answers 202."""

from aiohttp import web

from hookd.bench.worker import obey, run

_ANSWER = b'{"id":"evt_00000000000000000000000000","deliveries":1}'


async def accept(request: web.Request) -> web.Response:
    """Read the body and answer as small a JSON as hookd does."""
    await request.read()
    return web.Response(status=202, body=_ANSWER, content_type="application/json")


async def main() -> None:
    """Serve on a free port of 127.0.0.1 and obey."""
    app = web.Application()
    app.router.add_post("/", accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await obey({}, {"port": runner.addresses[0][1]})
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    run(main())
