"""Projects as sources of functions: SAM's template.yaml (and plain CloudFormation), and serverless.yml.

    document.py      the file: YAML with CloudFormation's tags
    intrinsics.py    CloudFormation's functions: Ref, Sub, GetAtt …
    variables.py     the Serverless Framework's ${…}
    sam.py           functions of template.yaml
    serverless.py    functions of serverless.yml
    declared.py      a function as such a file declares it
    names.py         which of them a name means
    project.py       the folder with such a file: its functions by name, read anew when the file changes

What a file says is for AWS, and much of it has no meaning here. What would change how a function runs and is
not supported is named: in the log at the start, and in the answer to a call of a function that cannot run."""
