"""GRANT statements as Aurora's SHOW GRANTS prints them, and as stock MySQL with lambda-udf takes them (None: not
at all).

Only a table."""

from __future__ import annotations

from typing import Final

GRANTS: Final[list[tuple[str, str | None]]] = [
    # version 2, as SHOW GRANTS prints its administrator
    (
        "GRANT SELECT, INSERT, LOAD FROM S3, SELECT INTO S3, INVOKE LAMBDA, INVOKE SAGEMAKER, INVOKE COMPREHEND"
        " ON *.* TO 'admin'@'%' WITH GRANT OPTION",
        "GRANT SELECT, INSERT, INVOKE_LAMBDA ON *.* TO 'admin'@'%' WITH GRANT OPTION",
    ),
    ("GRANT INVOKE LAMBDA ON *.* TO 'app'@'%'", "GRANT INVOKE_LAMBDA ON *.* TO 'app'@'%'"),
    ("GRANT invoke lambda, SELECT ON *.* TO 'app'@'%'", "GRANT INVOKE_LAMBDA, SELECT ON *.* TO 'app'@'%'"),
    ("GRANT LOAD FROM S3, SELECT ON *.* TO 'app'@'%'", "GRANT SELECT ON *.* TO 'app'@'%'"),
    ("GRANT INVOKE SAGEMAKER, INVOKE COMPREHEND ON *.* TO 'app'@'%'", None),
    ("GRANT SELECT INTO S3 ON *.* TO 'app'@'%'", None),
    # version 3
    ("GRANT `AWS_LAMBDA_ACCESS`@`%` TO `app`@`%`", "GRANT `AWS_LAMBDA_ACCESS`@`%` TO `app`@`%`"),
    (
        "GRANT `AWS_LAMBDA_ACCESS`@`%`,`AWS_LOAD_S3_ACCESS`@`%`,`other`@`%` TO `app`@`%`",
        "GRANT `AWS_LAMBDA_ACCESS`@`%`, `other`@`%` TO `app`@`%`",
    ),
    ("GRANT `rds_superuser_role`@`%` TO `app`@`%`", None),
    # of no concern
    (
        "GRANT SELECT (a, b), INSERT ON `shop`.`t` TO `app`@`%`",
        "GRANT SELECT (a, b), INSERT ON `shop`.`t` TO `app`@`%`",
    ),
    ("GRANT PROXY ON ''@'' TO 'root'@'localhost'", "GRANT PROXY ON ''@'' TO 'root'@'localhost'"),
    ("GRANT INVOKE_LAMBDA ON *.* TO `app`@`%`", "GRANT INVOKE_LAMBDA ON *.* TO `app`@`%`"),
    # 5.7's files of grants
    (
        "GRANT INVOKE LAMBDA ON *.* TO 'app'@'%' IDENTIFIED BY PASSWORD '*24' WITH GRANT OPTION",
        "GRANT INVOKE_LAMBDA ON *.* TO 'app'@'%' WITH GRANT OPTION",
    ),
]
