"""Who may invoke what, and under which role: patterns, order of rules, refusals, and what start refuses.

Pure rules here; test_roles.py shows them in a running sidecar. Each test's name is what it proves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lambda_sidecar.access.account import Account, AccountPattern, parse_account
from lambda_sidecar.access.function_name import Defaults, parse_function_name
from lambda_sidecar.access.rules import AccessRules, Role
from lambda_sidecar.config.config import ConfigError, load_config
from lambda_sidecar.errors import AccessDenied, InvalidRequest

DEFAULTS = Defaults(
    partitions={"us-east-1": "aws", "eu-central-1": "aws", "cn-north-1": "aws-cn"},
    region="us-east-1",
    account_id="123456789012",
)
ROLE = "arn:aws:iam::123456789012:role/"
APP = Account("app", "%")
# STS API reference, AssumeRole, RoleSessionName; Tag, Value, without letters beyond ASCII.
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
TAG_VALUE = re.compile(r"[A-Za-z0-9 _.:/=+@-]{0,256}")


def rules(directory: Path, text: str, defaults: Defaults = DEFAULTS) -> AccessRules:
    path = directory / "sidecar.toml"
    path.write_text(text)
    return AccessRules(load_config(path, {}).access, defaults)


def role(access: AccessRules, function: str, account: Account = APP, wanted: str = "") -> Role | None:
    return access.decide(account, parse_function_name(function, DEFAULTS), wanted).role


@pytest.mark.parametrize(
    ("pattern", "account", "matches"),
    [
        ("app@%", ("app", "%"), True),
        ("'app'@'%'", ("app", "%"), True),
        ("app@%", ("app", "localhost"), False),  # % is a host of its own, no wildcard
        ("app@*", ("app", "10.0.%"), True),
        ("*@10.0.*", ("app", "10.0.1.2"), True),
        ("*@10.0.*", ("app", "10x0.1.2"), False),
        ("app?@*", ("app1", "%"), True),
        ("app?@*", ("app", "%"), False),
        ("App@*", ("app", "%"), False),
        ("app@DB.example", ("app", "db.Example"), True),
        ("a@b@c", ("a@b", "c"), True),
        ("a*@c", ("a@b", "c"), True),
        ("*@localhost", ("", "localhost"), True),
        ("@localhost", ("", "localhost"), True),
        ("a*z@*", ("a\nz", "%"), True),
        ("[ab]@*", ("a", "%"), False),  # brackets stand for themselves
        ("[ab]@*", ("[ab]", "%"), True),
        ("app@*", ("app\n", "%"), False),
    ],
)
def test_account_patterns_know_stars_and_question_marks_only(
    pattern: str, account: tuple[str, str], matches: bool
) -> None:
    assert AccountPattern(pattern).matches(Account(*account)) is matches


@pytest.mark.parametrize(
    ("pattern", "function", "matches"),
    [
        ("*", "arn:aws-cn:lambda:cn-north-1:999999999999:function:x:1", True),
        ("orders", "orders", True),
        ("orders", "orders:live", True),  # no qualifier: every qualifier
        ("orders", "arn:aws:lambda:us-east-1:123456789012:function:orders", True),
        ("orders", "arn:aws:lambda:eu-central-1:123456789012:function:orders", False),
        ("orders", "210987654321:function:orders", False),
        ("orders-*", "orders-new:3", True),
        ("orders-*", "orders", False),
        ("orders:live", "orders:live", True),
        ("orders:live", "orders", False),
        ("orders:$LATEST", "orders", True),  # what runs without a qualifier
        ("orders:$LATEST", "orders:$LATEST", True),
        ("orders:*", "orders:7", True),
        ("orders:$LATEST", "orders:$LATEST.PUBLISHED", False),
        ("orders:$LATEST.PUBLISHED", "orders:$LATEST.PUBLISHED", True),
        ("orders:$LATEST.PUBLISHED", "orders", False),
        ("orders:$LATEST*", "orders:$LATEST.PUBLISHED", True),
        ("orders.new", "orders.new:3", True),
        ("orders.new", "orders-new", False),  # a dot is a dot
        ("orders.*", "orders.new", True),
        ("orders.*", "orders-new", False),
        ("arn:aws:lambda:*:123456789012:function:orders", "arn:aws:lambda:eu-central-1:123456789012:function:orders", True),
        ("arn:aws:lambda:us-east-1:*:function:o*", "210987654321:function:orders:live", True),
        ("arn:aws:lambda:us-east-1:123456789012:function:*", "Orders", True),
        ("Orders", "orders", False),
    ],
)  # fmt: skip
def test_function_patterns_match_the_canonical_arn_part_by_part(
    tmp_path: Path, pattern: str, function: str, matches: bool
) -> None:
    access = rules(
        tmp_path, f"account_id = '123456789012'\n[[allow]]\naccount = '*@*'\nfunction = '{pattern}'"
    )
    if matches:
        assert role(access, function) is None
    else:
        with pytest.raises(AccessDenied):
            role(access, function)


def test_the_refusal_names_the_account_and_the_whole_arn(tmp_path: Path) -> None:
    access = rules(tmp_path, "[[allow]]\naccount = 'other@*'")
    with pytest.raises(AccessDenied) as raised:
        role(access, "orders:live")
    assert raised.value.text == (
        "AccessDenied: account 'app'@'%' may not invoke arn:aws:lambda:us-east-1:123456789012:function:orders:live"
    )


def test_without_any_entry_everyone_may_and_the_sidecars_own_credentials_sign(tmp_path: Path) -> None:
    assert role(rules(tmp_path, ""), "orders") is None


def test_any_matching_allow_entry_permits(tmp_path: Path) -> None:
    access = rules(tmp_path, "[[allow]]\naccount = 'x@*'\n[[allow]]\naccount = 'app@%'\nfunction = 'orders'")
    assert role(access, "orders") is None


RULES = f"""
aws_default_lambda_role = '{ROLE}default'
external_id = 'everyone'
role_duration_seconds = 1800
[[role_rules]]
account = 'app@*'
function = 'orders-*'
role = '{ROLE}orders'
external_id = 'own'
duration_seconds = 900
[[role_rules]]
account = 'app@*'
role = '{ROLE}path/app'
"""


def test_the_first_matching_rule_gives_the_role_and_the_default_serves_the_rest(tmp_path: Path) -> None:
    access = rules(tmp_path, RULES)
    assert role(access, "orders-new") == Role(ROLE + "orders", "own", 900, False)
    assert role(access, "else") == Role(ROLE + "path/app", "everyone", 1800, False)
    assert role(access, "orders-new", Account("other", "%")) == Role(
        ROLE + "default", "everyone", 1800, False
    )


def test_options_role_may_name_any_role_that_a_rule_gives_this_account_and_function(tmp_path: Path) -> None:
    access = rules(tmp_path, RULES)
    assert role(access, "orders-new", wanted=ROLE + "path/app") == role(access, "else")
    other = Account("other", "%")
    assert role(access, "else", other, ROLE + "default") == role(access, "else", other)
    for account, function, wanted in (
        (APP, "else", ROLE + "orders"),  # given, but for other functions
        (APP, "else", ROLE + "default"),  # not what this account gets
        (other, "orders-new", ROLE + "orders"),  # given, but to another account
        (APP, "else", ROLE + "nowhere"),
    ):
        with pytest.raises(AccessDenied) as raised:
            role(access, function, account, wanted)
        assert raised.value.text == (
            f"AccessDenied: account {account} may not use the role {wanted}"
            f" for arn:aws:lambda:us-east-1:123456789012:function:{function}"
        )


def test_without_rules_options_role_may_only_name_the_default(tmp_path: Path) -> None:
    access = rules(tmp_path, f"aws_default_lambda_role = '{ROLE}default'")
    assert role(access, "x", wanted=ROLE + "default") == role(access, "x")
    with pytest.raises(AccessDenied):
        role(access, "x", wanted=ROLE + "other")
    with pytest.raises(AccessDenied):
        role(rules(tmp_path, ""), "x", wanted=ROLE + "other")


def test_what_is_no_role_arn_is_refused_without_being_quoted(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not a role's ARN") as raised:
        role(rules(tmp_path, ""), "x", wanted="canary")
    assert "canary" not in raised.value.text


def test_with_rules_and_no_default_an_account_without_a_rule_is_refused(tmp_path: Path) -> None:
    access = rules(tmp_path, f"[[role_rules]]\naccount = 'x@*'\nrole = '{ROLE}x'")
    with pytest.raises(AccessDenied) as raised:
        role(access, "orders")
    assert raised.value.text == (
        "AccessDenied: no role rule gives account 'app'@'%' a role for"
        " arn:aws:lambda:us-east-1:123456789012:function:orders"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aws_default_lambda_role = 'orders'", "aws_default_lambda_role: a role's ARN is expected (arn:aws:iam::123456789012:role/name), not 'orders'"),
        ("associated_roles = ['x']", "associated_roles 1: a role's ARN is expected"),
        ("associated_roles = [1]", "associated_roles 1: a string is expected, not 1"),
        ("associated_roles = 'x'", "associated_roles: a list is expected, not 'x'"),
        (f"associated_roles = ['{ROLE}a']\naws_default_lambda_role = '{ROLE}b'", f"aws_default_lambda_role: {ROLE}b is not one of associated_roles"),
        (f"associated_roles = ['{ROLE}a']\n[[role_rules]]\naccount = '*@*'\nrole = '{ROLE}b'", f"role_rules 1: role: {ROLE}b is not one of associated_roles"),
        ("external_id = 'x'", "external_id: 2 to 1224 letters, digits or _+=,.@:/- are expected"),
        ("role_duration_seconds = 899", "role_duration_seconds: 900 to 43200 is expected, not 899"),
        ("role_duration_seconds = 43201", "role_duration_seconds: 900 to 43200 is expected, not 43201"),
        ("role_duration_seconds = 900.5", "role_duration_seconds: a whole number is expected, not 900.5"),
        ("session_tags = 1", "session_tags: true or false is expected, not 1"),
        ("[role_rules]\naccount = 'a@b'", "role_rules: a list is expected"),
        ("role_rules = [1]", "role_rules 1: a table is expected"),
        ("[[role_rules]]\naccount = 'a@b'", "role_rules 1: 'role' is missing"),
        (f"[[role_rules]]\naccount = 'a@b'\nrole = '{ROLE}a'\nfunctions = 'x'", "role_rules 1: unknown key 'functions'; known are account, duration_seconds, external_id, function, role"),
        (f"[[role_rules]]\naccount = 'app'\nrole = '{ROLE}a'", "role_rules 1: account: user@host is expected, as in app@% or 'app'@'%', not 'app'"),
        (f"[[role_rules]]\naccount = 'a@b'\nrole = '{ROLE}a'\nduration_seconds = 1", "role_rules 1: duration_seconds: 900 to 43200 is expected, not 1"),
        ("[[allow]]\naccount = '*@*'\n[[allow]]\naccount = '*@*'\nfunction = 'a b'", "allow 2: function: 'a b': not a pattern of functions; allowed are *, a name,"),
        ("[[allow]]\naccount = '*@*'\nfunction = '123456789012:function:a'", "allow 1: function: '123456789012:function:a': not a pattern of functions"),
        ("[[allow]]\naccount = '*@*'\nfunction = '123456789012:a'", "allow 1: function: '123456789012:a': not a pattern of functions; allowed are *, a name,"),
        ("[[allow]]\naccount = '*@*'\nfunction = 'function:a'", "allow 1: function: 'function:a': not a pattern of functions"),
        ("[[allow]]\naccount = '*@*'\nfunction = 'us-east-1:*'", "allow 1: function: 'us-east-1:*': not a pattern of functions"),
        ("[[allow]]\naccount = '*@*'\nfunction = 'a:'", "allow 1: function: 'a:': not a qualifier"),
        ("[[allow]]\nfunction = 'a'", "allow 1: 'account' is missing"),
        (f"aws_default_lambda_role = '{ROLE}a'\n[local]\nfunctions = '.'", "local: a Lambda on this machine has no roles; remove [local] or the roles"),
        (f"associated_roles = ['{ROLE}a']\n[local]\nfunctions = '.'", "local: a Lambda on this machine has no roles"),
    ],
)  # fmt: skip
def test_what_is_wrong_about_roles_and_rules_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        (Defaults(DEFAULTS.partitions, "us-east-1", None), "allow 1: function: a rule that names functions needs account_id"),
        (Defaults(DEFAULTS.partitions, None, "123456789012"), "allow 1: function: a plain name needs a region: set region"),
    ],
)  # fmt: skip
def test_a_rule_that_names_a_function_needs_to_know_where_it_is(
    tmp_path: Path, defaults: Defaults, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rules(tmp_path, "[[allow]]\naccount = '*@*'\nfunction = 'x'", defaults)


def test_roles_can_be_set_in_the_environment() -> None:
    config = load_config(
        None,
        {
            "LAMBDA_SIDECAR_AWS_DEFAULT_LAMBDA_ROLE": f"{ROLE}a",
            "LAMBDA_SIDECAR_ASSOCIATED_ROLES": f"{ROLE}a  {ROLE}b",
            "LAMBDA_SIDECAR_ROLE_DURATION_SECONDS": "900",
            "LAMBDA_SIDECAR_SESSION_TAGS": "true",
        },
    )
    assert config.aws_default_lambda_role == f"{ROLE}a"
    assert config.associated_roles == (f"{ROLE}a", f"{ROLE}b")
    assert (config.role_duration_seconds, config.session_tags) == (900, True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALLOW", "x", "unknown variable LAMBDA_SIDECAR_ALLOW"),
        ("ROLE_RULES", "x", "unknown variable LAMBDA_SIDECAR_ROLE_RULES"),
        ("SESSION_TAGS", "yes", "LAMBDA_SIDECAR_SESSION_TAGS: true or false is expected, not 'yes'"),
        ("ROLE_DURATION_SECONDS", "1h", "LAMBDA_SIDECAR_ROLE_DURATION_SECONDS: a whole number is expected"),
    ],
)
def test_what_is_wrong_about_roles_in_the_environment_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, {f"LAMBDA_SIDECAR_{name}": value})


ACCOUNTS = [
    Account(user, host)
    for user, host in (
        ("app", "%"), ("app", "_"), ("app", "=25"), ("app_", "%"), ("app%", "%"), ("a", "b@c"), ("a@b", "c"), ("", "%"),
        ("=", "%"), ("", "localhost"), ("ä", "%"), ("a\u0308", "%"), ("app", "10.0.%"), ("app", "::1"), ("app", "10.0,%"),
        ("u" * 32, "h" * 100 + "1"), ("u" * 32, "h" * 100 + "2"), ("\U0001f600" * 32, "%"), ("\U0001f600" * 31, "%"),
    )
]  # fmt: skip


def test_session_names_are_what_sts_takes_and_no_two_accounts_share_one() -> None:
    names = [account.session_name for account in ACCOUNTS]
    assert APP.session_name == "app@=25"
    assert [name for name in names if not SESSION_NAME.fullmatch(name)] == []
    assert len(set(names)) == len(names)


def test_session_tags_are_what_sts_takes_and_no_two_accounts_share_them() -> None:
    tags = [account.tags for account in ACCOUNTS]
    assert APP.tags == {"mysql_user": "app", "mysql_host": "=25"}
    assert [tag for tag in tags if not all(TAG_VALUE.fullmatch(value) for value in tag.values())] == []
    assert len({tuple(tag.values()) for tag in tags}) == len(tags)


@pytest.mark.parametrize("text", ["app", "app@", ""])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="user@host is expected"):
        parse_account(text)


def test_the_examples_of_the_documentation_are_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/access.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    access = rules(tmp_path, example, Defaults(DEFAULTS.partitions, "eu-central-1", "123456789012"))
    orders = parse_function_name("arn:aws:lambda:eu-central-1:123456789012:function:orders-new", DEFAULTS)
    assert access.decide(APP, orders).role == Role(ROLE + "mysql-orders", None, 3600, False)
    policies = [json.loads(policy) for policy in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    assert [policy["Version"] for policy in policies] == ["2012-10-17"] * 5
