"""Reads documents as cloud-init does (util.load_yaml: decode as UTF-8, then PyYAML's SafeLoader).

Standard input: on each line the JSON of [document, what it is to be]. Standard output: the JSON of
{"read": how many there were, "wrong": [[document, what it is to be, what was read], ...]} with the first ten.
"""

import json
import sys

import yaml


def plain(value):
    """JSON that tells types apart that compare as equal, and knows no dates, sets or bytes."""
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError("the key %r is of type %s" % (key, type(key).__name__))
        for one in value.values():
            plain(one)
    elif isinstance(value, list):
        for one in value:
            plain(one)
    elif value is not None and type(value) not in (str, int, bool):
        raise TypeError("%r is of type %s" % (value, type(value).__name__))
    return json.dumps(value, sort_keys=True)


def read(document):
    try:
        return plain(yaml.load(document.encode("utf-8").decode("utf-8"), Loader=yaml.SafeLoader))
    except Exception as error:
        return str(error)


count, wrong = 0, []
for line in sys.stdin:
    document, expected = json.loads(line)
    count += 1
    found = read(document)
    if found != plain(expected):
        wrong.append([document, plain(expected), found])
print(json.dumps({"read": count, "wrong": wrong[:10]}))
