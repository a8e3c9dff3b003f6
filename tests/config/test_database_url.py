"""The URL of the journal: what is good, where it leads, and that its password is shown nowhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import ConfigError, PostgresqlUrl, SqliteUrl, load_config
from exporter.config.checking.named_files import check_database, check_file
from exporter.config.reading.database_url import parse_database_url

_FOLDER = Path("/etc/exporter")

_SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/state.db",
        "sqlite:////var/a b@c:é.db",
        "postgresql://exporter@db/ontap",
        "postgresql://exporter:a:b<c>,;*@db.example:5432/ontap",
        "postgresql://exporter@db-1:5432,db-2,[fd00::1]:5433/ontap?target_session_attrs=primary",
        "postgresql://exporter:p%40ss%2F@10.0.0.1/ontap",
        "postgresql://exporter@[fd00::1]:5432/ontap",
        "postgresql://exporter@[fd00::1]/ontap",
        "postgresql://exporter@/ontap?host=/run/postgresql",
        "postgresql:///ontap",
        "postgresql://db/ontap",
        "postgresql://db:1/on%20tap?sslmode=verify-full&options=",
    ],
)
def test_good_url_is_taken_as_it_is(url: str) -> None:
    assert parse_database_url(url, _FOLDER).dsn == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "state.db",
        ":memory:",
        "/var/lib/state.db",
        "file:///var/lib/state.db",
        "SQLITE:///state.db",
        "sqlite:state.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:///:memory:?cache=shared",
        "sqlite:///state.db?mode=memory",
        "sqlite:///state.db\n",
        "sqlite:///a%20b.db",
        "sqlite://localhost/state.db",
        "sqlite:///folder/",
        "sqlite:///.",
        "sqlite:////.",
        "sqlite:///folder/..",
        "sqlite+aiosqlite:///state.db",
        "postgres://db/ontap",
        "postgresql+asyncpg://db/ontap",
        "postgresql:",
        "postgresql://",
        "postgresql:///",
        "postgresql://db",
        "postgresql://db/",
        "postgresql://db/a/b",
        "postgresql://db/ontap#x",
        "postgresql://@db/ontap",
        f"postgresql://:{_SECRET}@db/ontap",
        "postgresql://exporter:@db/ontap",
        f"postgresql://exporter:{_SECRET}/@db/ontap",
        f"postgresql://exporter:{_SECRET}?@db/ontap",
        f"postgresql://exporter:{_SECRET}#@db/ontap",
        f"postgresql://exporter:{_SECRET}@{_SECRET}@db/ontap",
        f"postgresql://exporter:{_SECRET}%@db/ontap",
        f"postgresql://exporter:{_SECRET}%4@db/ontap",
        f"postgresql://exporter:{_SECRET}%00@db/ontap",
        f"postgresql://exporter:{_SECRET} @db/ontap",
        f"postgresql://exporter:{_SECRET}\n@db/ontap",
        f"postgresql://exporter:{_SECRET}",
        f"postgresql://exporter:{_SECRET}/ontap",
        f"postgresql://exporter:{_SECRET}@db:0/ontap",
        f"postgresql://exporter:{_SECRET}@db:65536/ontap",
        f"postgresql://exporter:{_SECRET}@db:x/ontap",
        f"postgresql://exporter:{_SECRET}[@db/ontap",
        f"postgresql://exporter:{_SECRET}]@db/ontap",
        f"postgresql://exporter:{_SECRET}@a,,b/ontap",
        f"postgresql://exporter:{_SECRET}@:5432/ontap",
        f"postgresql://exporter@db/ontap?{_SECRET}",
        f"postgresql://exporter@db/ontap?password={_SECRET}&",
        f"postgresql://exporter@db/ontap?={_SECRET}",
        f"postgresql://exporter:{_SECRET}@[fd00::g]/ontap",
        f"postgresql://exporter:{_SECRET}@[10.0.0.1]/ontap",
        f"postgresql://exporter:{_SECRET}@fd00::1/ontap",
        f"postgresql://exporter:{_SECRET}@10.0.0.256/ontap",
    ],
)
def test_wrong_url_is_reported_without_its_content(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(url, _FOLDER)
    assert _SECRET not in str(caught.value)


def test_relative_file_begins_in_the_folder_and_an_absolute_one_does_not() -> None:
    assert parse_database_url("sqlite:///../a/state.db", _FOLDER) == SqliteUrl(
        path=Path("/etc/exporter/../a/state.db")
    )
    assert parse_database_url("sqlite:////var/state.db", _FOLDER) == SqliteUrl(path=Path("/var/state.db"))


def test_url_of_a_server_is_displayed_without_password_and_parameters() -> None:
    url = parse_database_url(f"postgresql://u:{_SECRET}@a:1,[fd00::1]/ontap?x={_SECRET}", _FOLDER)
    assert isinstance(url, PostgresqlUrl)
    assert str(url) == "postgresql://u@a:1,[fd00::1]/ontap"
    assert _SECRET not in repr(url)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:////var/a:b@c.db", "sqlite:////var/a:b@c.db"),
        ("postgresql://exporter@db/ontap", "postgresql://exporter@db/ontap"),
        ("postgresql://exporter:s3cr3t@db:5432/ontap", "postgresql://exporter:<secret>@db:5432/ontap"),
        (
            "postgresql://u:s3cr3t@db/ontap?sslmode=require",
            "postgresql://u:<secret>@db/ontap?sslmode=require",
        ),
        (
            "postgresql://u@db/ontap?sslmode=require&password=s3cr3t&port=1",
            "postgresql://u@db/ontap?sslmode=require&password=<secret>&port=1",
        ),
        ("postgresql://u@db/ontap?p%61ssword=s3cr3t", "postgresql://u@db/ontap?p%61ssword=<secret>"),
        (
            "postgresql://u:s3cr3t@db/ontap?sslpassword=s3cr3t=",
            "postgresql://u:<secret>@db/ontap?sslpassword=<secret>",
        ),
    ],
)
def test_shown_url_holds_no_secret(url: str, masked: str) -> None:
    assert parse_database_url(url, _FOLDER).masked("<secret>") == masked


_any = st.text(max_size=8)


@given(before=_any, after=_any, user=_any, host=st.sampled_from(["db", "[fd00::1]:1", ""]), query=_any)
def test_any_password_is_good_once_it_is_quoted_and_is_shown_nowhere(
    before: str, after: str, user: str, host: str, query: str
) -> None:
    password = quote(f"{before}{_SECRET}{after}", safe="", errors="replace").replace("%00", "")
    quoted = [quote(text, safe="", errors="replace").replace("%00", "") for text in (user, query)]
    url = f"postgresql://u{quoted[0]}:{password}@{host}/ontap?x={_SECRET}{quoted[1]}"
    parsed = parse_database_url(url, _FOLDER)
    assert parsed.dsn == url
    shown = parsed.masked("<secret>")
    assert _SECRET not in shown + str(parsed) + repr(parsed)
    assert parse_database_url(shown, _FOLDER).dsn == shown


@given(
    text=st.text("pu:@/?#[]%.x0\n ", max_size=20), start=st.sampled_from(["", "postgresql://", "sqlite://"])
)
@example(text="//.", start="sqlite://")
def test_any_url_is_good_or_a_value_error(text: str, start: str) -> None:
    try:
        url = parse_database_url(start + text, _FOLDER)
    except ValueError:
        return
    parse_database_url(url.masked("<secret>"), _FOLDER)
    assert parse_database_url(url.dsn, _FOLDER) == url


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
@pytest.mark.parametrize("state", ["", "  state: sqlite:///journal.db\n"])
def test_folder_with_a_character_that_urls_need_is_an_error(tmp_path: Path, name: str, state: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / name / "config.yaml"
    policies = "  policies: [{name: p, every: 24h, keep_newest: 2}]\n"
    path.write_text(f"clusters: [{{address: a}}]\ncleanup:\n{state}{policies}")
    with pytest.raises(ConfigError, match="the path of the journal must not contain") as caught:
        load_config(path, environ={})
    assert len(caught.value.problems) == 1


def test_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert check_file(check_database, path).error == "cannot be read: File name too long"
