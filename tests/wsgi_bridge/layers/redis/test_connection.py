"""What a connection makes of the replies of different servers."""

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from wsgi_bridge.layers.redis.connection import Link


class Replying:
    """A redis-py connection that has one error to give."""

    def __init__(self, text):
        self.text = text

    def connect(self):
        pass

    def read_response(self, disable_decoding):
        raise ResponseError(self.text)


WHERE = "Error running script (call to f_49): @user_script:18: @user_script: 18: -"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (f"{WHERE}OOM command not allowed.", OutOfMemoryError, "command not allowed."),
        (f"{WHERE}READONLY You can't write.", ReadOnlyError, "You can't write."),
        (
            f"{WHERE}WRONGTYPE Operation against",
            ResponseError,
            f"{WHERE}WRONGTYPE Operation against",
        ),
        ("value is not -OOM an integer", ResponseError, "value is not -OOM an integer"),
    ],
)
def test_an_error_inside_a_script_is_taken_for_what_it_is(text, kind, said):
    reply = Link(Replying(text)).read()
    assert type(reply) is kind
    assert str(reply) == said
