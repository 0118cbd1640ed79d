"""A function as a test names it: by a plain name, an ARN or a partial ARN, with or without a qualifier.

Pure; knows nothing of handlers or calls."""

from __future__ import annotations

from dataclasses import dataclass

from lambda_sidecar.local import errors
from lambda_sidecar.local.target import Target, resolve

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # AWS's example account


@dataclass(frozen=True, slots=True)
class Name:
    """A function as a test names it. A plain name means every function of that name, an ARN (or a partial
    one) only its region and account; with a version or alias, only that."""

    name: str
    arn: str | None
    qualifier: str | None

    def matches(self, target: Target) -> bool:
        return (
            self.name == target.name
            and self.arn in (None, target.unqualified_arn)
            and self.qualifier in (None, target.qualifier)
        )

    def overlaps(self, other: Name) -> bool:
        """Whether there can be a function that both mean."""
        return (
            self.name == other.name
            and (None in (self.arn, other.arn) or self.arn == other.arn)
            and (None in (self.qualifier, other.qualifier) or self.qualifier == other.qualifier)
        )

    @property
    def precision(self) -> tuple[bool, bool]:
        """Of two that match, the greater one counts."""
        return (self.qualifier is not None, self.arn is not None)


def read_name(text: str) -> Name:
    """Raises ValueError for a text that is no function's name to Lambda."""
    try:
        target = resolve(text, None, region=REGION, account_id=ACCOUNT_ID)
    except errors.ApiError:
        raise ValueError(f"{text!r} is no function name, partial ARN or ARN") from None
    arn = target.unqualified_arn if ":function:" in text else None
    return Name(target.name, arn, target.qualifier)
