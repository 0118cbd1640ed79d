"""The outbox's deliverer: rows of lambda_udf.outbox become calls, and leave when Lambda has accepted them.

A door to the pipeline beside contract/: nothing here knows gRPC, and only session.py and session_errors.py
know MySQL's protocol.

The way of a row, file by file:

    wakeup.py      when to look: a datagram of the library's, or the clock
    intake.py      what is read, and when; scan.py: which rows of `outbox` have not been looked at
    new_rows.py    the statements that read `outbox`; waiting_rows.py: those that read `outbox_waiting`
    reading.py     how rows are read; row.py: a row, and its options
    clock.py       what time it is on the server
    held.py        which rows are in hand
    lanes.py       which function's row is next, and how many of each are under way; lane.py: one function
    groups.py      which row of a group_key is next; group_heads.py: how it is found
    sending.py     sends what may be under way; attempt.py: a row becomes a call, and its outcome a verdict
    verdict.py     accepted, again later, or dead
    settlement.py  verdicts are committed; transaction.py, changes.py: their statements
    writer.py      the connection that commits them
    refusals.py    rows that the server refuses to settle, or that somebody has locked
    deliverer.py   all of it on one server, as long as this sidecar is its deliverer
    candidacy.py   that it is, again and again; election.py: what is asked of the server for that
    session.py     one connection to MySQL; session_errors.py: what its errors mean
    schema.py      which tables there are, and what the account may do with them
    rights.py      which rights the account lacks
    backlog.py     how much waits; numbers.py: that and the rest, for metrics and top
    account_check.py   `lambda-sidecar check` looks at the server and the account
"""
