"""Ray's client of a job server, with refusals that say of what kind they are.

The public client raises a RuntimeError or an AuthenticationError whose kind stands in its words alone. So the two
private methods through which all its requests and refusals pass, ``_do_request`` and ``_raise_error``, are extended
here and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

NOT_FOUND: Final = 404
#: With which a server begins its answer while no node can take jobs; its status is that of any error of a server.
NO_AGENT: Final = "No available agent"


class Refused(RuntimeError):
    """The server answered, but not with what was asked for.

    Attributes
    ----------
    status
        Of HTTP.
    said
        The server's answer.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"Request failed with status code {status}: {said}.")
        self.status, self.said = status, said

    @property
    def not_found(self) -> bool:
        """Whether there is no such job."""
        return self.status == NOT_FOUND

    @property
    def no_agent(self) -> bool:
        """Whether no node takes jobs: not yet, where a cluster has just begun."""
        return self.said.startswith(NO_AGENT)


class TokenRefused(Exception):
    """The server wants a token, or another than the one that was ``sent``."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__(f"token refused, sent: {sent}")
        self.sent = sent


class JobClient(JobSubmissionClient):
    """Ray's client, which raises `Refused` and `TokenRefused`."""

    def _do_request(self, *request: Any, **options: Any) -> Any:
        try:
            return super()._do_request(*request, **options)
        except AuthenticationError as failure:
            sent = any(name.lower() == "authorization" for name in self._headers or ())
            raise TokenRefused(sent=sent) from failure

    def _raise_error(self, answer: Any) -> None:
        raise Refused(answer.status_code, answer.text)
