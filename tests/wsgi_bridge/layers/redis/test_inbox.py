"""What this process has taken off Redis: whose it is at which moment."""

from wsgi_bridge.layers.redis import inbox


def test_what_a_receive_is_fetching_is_not_given_back_meanwhile(shared_server, open_redis):
    layer = open_redis(shared_server.url)
    queue = layer.inbox.queue("a")
    [shard] = layer._shards
    layer.inbox.add(queue, [(1e12, "a", {"n": 1})])
    for _ in range(3):
        assert layer.inbox.unwanted(shard, at_once=False) == []
    queue.added_at -= 2 * inbox.FETCHING
    found = [each for _ in range(2) for each in layer.inbox.unwanted(shard, at_once=False)]
    assert found == [(queue, [(1e12, "a", {"n": 1})])]
    assert not queue.entries
