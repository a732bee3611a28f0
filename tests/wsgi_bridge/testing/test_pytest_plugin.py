"""The fixtures, as a site's own tests would use them."""

pytest_plugins = ["pytester"]


def test_the_fixtures_are_there_for_who_asks(pytester):
    pytester.makeconftest('pytest_plugins = ["wsgi_bridge.testing.pytest_plugin"]')
    pytester.makepyfile(
        """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]

        def test_a_page(bridge_client):
            assert bridge_client(app).get("/").content == b"x"

        def test_time(bridge_client, fake_clock):
            client = bridge_client(app)
            client.layer.send("news", {"a": 1})
            fake_clock.advance(60)
            assert client.messages("news") == []
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
