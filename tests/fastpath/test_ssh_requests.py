"""The lines in which a machine asks its token host."""

from support.claims import over_rows

from wizard.fastpath.ssh_requests import SshRequest, parse, protocol_of


@over_rows(
    "request_made",
    [
        SshRequest("token"),
        SshRequest("token", ("crm",), 900),
        SshRequest("token", ("Crm-2.eu",), None, True),
        SshRequest("list"),
        SshRequest("show", ("x" * 63,)),
        SshRequest("check"),
        SshRequest("check", ("crm", "books")),
    ],
)
def test_a_request_is_read_as_it_was_written(request_made: SshRequest) -> None:
    read = parse(str(request_made))
    assert read is not None
    for each in SshRequest.__slots__:
        assert getattr(read, each) == getattr(request_made, each)


@over_rows(
    "line",
    [
        "",
        "sh",
        "zoho-wizard",
        "zoho-wizard/1",
        "zoho-wizard/2 list",
        "zoho-wizard/1 status",
        "zoho-wizard/1 token crm",
        "zoho-wizard/1  token name=crm",
        "zoho-wizard/1 token name=crm ",
        "zoho-wizard/1 token name=crm name=crm",
        "zoho-wizard/1 token name=--help",
        "zoho-wizard/1 token name=",
        "zoho-wizard/1 token name=" + "x" * 64,
        "zoho-wizard/1 token name=../crm",
        "zoho-wizard/1 token name=$(id)",
        "zoho-wizard/1 token name=crm; id",
        "zoho-wizard/1 token name=crm\nid",
        "zoho-wizard/1 token name=crm\tmin-ttl=9",
        "zoho-wizard/1 token name=crm\u0660",
        "zoho-wizard/1 token name=crm force-refresh",
        "zoho-wizard/1 token name=crm min-ttl=-1",
        "zoho-wizard/1 token name=crm min-ttl=9 min-ttl=9",
        "zoho-wizard/1 token name=crm min-ttl=\u0669",
        "zoho-wizard/1 token name=crm rejected=1",
        "zoho-wizard/1 token name=crm rejected rejected",
        "zoho-wizard/1 show",
        "zoho-wizard/1 show name=crm reveal",
        "zoho-wizard/1 show name=crm name=books",
        "zoho-wizard/1 list name=crm",
        "zoho-wizard/1 check --all",
        "zoho-wizard/1 check" + " name=crm" * 101,
        "ZOHO-WIZARD/1 list",
        "/usr/lib/openssh/sftp-server",
        "scp -t /",
    ],
)
def test_no_other_line_is_a_request(line: str) -> None:
    assert parse(line) is None


def test_no_request_lets_a_token_be_refreshed_with_nearly_every_call() -> None:
    read = parse("zoho-wizard/1 token name=crm min-ttl=99999")
    assert read is not None
    assert read.min_ttl_seconds == 30 * 60


def test_the_protocol_of_another_version_is_recognized() -> None:
    lines = ("zoho-wizard/7 new-action", "zoho-wizard/1 list", "zoho-wizard/x list", "sh")
    assert [protocol_of(each) for each in lines] == [7, 1, None, None]
