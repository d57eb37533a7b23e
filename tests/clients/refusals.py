"""Refusals that say what is wrong: every member of every operation, wrong in each way that the service model knows.

    refusals.py URL FORMS...

For each place of each request one is made that is whole but for that place: of another type, with a word that its enum
has not, beyond its range or its length, with letters that no name has. A refusal has to be an error of ECS and its
sentence has to name the member and what it held, shortened where that is long. What may be a secret (values of the
environment, options of drivers) must not be in it. Prints what is wrong, a line each, and ends with 1 if there is any.
"""

import sys

import generate
import speak

# A text of which no long part is in a sentence by chance, and letters that no name or ARN has.
ODD = "Zq!odd word~{}#Zq"
# So much of a long text has to be in the sentence.
BEGINNING = 20
# Members whose values may be secrets: see `MemberPath::is_private`.
PRIVATE = {"environment", "options", "driverOpts"}
# What a text has to be for a request to get as far as the place that is looked at.
NEEDED = {
    "image": "busybox", "name": "main", "containerName": "main", "family": "web", "taskDefinition": "web:1", "cluster": "generated",
    "clusterName": "generated", "service": "front", "serviceName": "side", "resourceArn": "arn:aws:ecs:us-east-1:000000000000:cluster/generated",
    "capacityProvider": "FARGATE", "capacityProviders": "FARGATE", "sourceVolume": "data", "key": "team", "value": "one", "containerPath": "/data", "namespace": "shop",
}
# What a structure has to have for that beside what the model requires.
MORE = {
    "ContainerDefinition": {"name": "main", "image": "busybox", "memory": 64},
    "ContainerOverride": {"name": "main"},
    "CreateServiceRequest": {"taskDefinition": "web:1", "desiredCount": 0},
    "KeyValuePair": {"name": "A", "value": "1"},
    "PlacementConstraint": {"type": "memberOf", "expression": "agentConnected == true"},
    "TaskDefinitionPlacementConstraint": {"type": "memberOf", "expression": "agentConnected == true"},
    "PlacementStrategy": {"type": "spread", "field": "host"},
    "ClusterSetting": {"name": "containerInsights", "value": "enabled"},
    "Tag": {"key": "team", "value": "a"},
    "LogConfiguration": {"logDriver": "json-file"},
    "Secret": {"name": "max-file", "valueFrom": "token"},
    "Ulimit": {"name": "nofile", "softLimit": 64, "hardLimit": 128},
    "MountPoint": {"sourceVolume": "data", "containerPath": "/data"},
    "Volume": {"name": "data"},
    "Device": {"hostPath": "/dev/null"},
    "HostEntry": {"hostname": "db", "ipAddress": "10.0.0.9"},
    "SystemControl": {"namespace": "net.core.somaxconn", "value": "512"},
    "PortMapping": {"containerPort": 80},
    "VolumeFrom": {"sourceContainer": "main"},
}
# Members that sentences of ECS's own call by what they are the name of.
ECS = {"clusterName": "cluster", "serviceName": "service"}


def path_of(steps):
    return ".".join(step for step in steps if isinstance(step, str))


def whole(shape, name="", depth=0):
    """The least value that the model allows."""
    kind = shape.type_name
    if kind == "structure":
        union = getattr(shape, "is_tagged_union", False)
        wanted = list(shape.required_members) or ([next(iter(shape.members))] if union else [])
        least = {member: whole(shape.members[member], member, depth + 1) for member in wanted}
        return least | {member: value for member, value in MORE.get(shape.name, {}).items() if member in shape.members}
    if kind == "list":
        return [whole(shape.member, name, depth + 1)]
    if kind == "map":
        return {"a": "b"}
    if kind == "string":
        return shape.enum[0] if shape.enum else NEEDED.get(name, "one")
    if kind == "boolean":
        return True
    if kind in ("integer", "long"):
        return max(1, shape.metadata.get("min", 1))
    return 1700000000.5 if kind == "timestamp" else 1.0


def wrongs(shape):
    """Values that a member of this shape cannot hold, and what of each has to be told: a text, or a reason for none."""
    kind, bounds = shape.type_name, shape.metadata
    other = 987654 if kind in ("string", "list", "map", "structure", "boolean") else ODD
    if not getattr(shape, "is_document_type", False):
        yield other, str(other)
        if kind != "list":
            yield [[]], "a list"
        if kind not in ("structure", "map"):
            yield {"odd": 1}, "an object"
    if kind == "string" and shape.enum:
        yield ODD, ODD
    elif kind == "string":
        yield ODD, ODD
        yield "arn:aws:ecs:us-east-1:000000000000:nonsense/" + "x" * 400, "arn:aws:ecs:us-east-1"
        if bounds.get("max", 0) and bounds["max"] < 100_000:
            yield "x" * (bounds["max"] + 1), "x" * min(BEGINNING, bounds["max"] + 1)
    elif kind in ("integer", "long"):
        for number in {bounds.get("min", -2**31) - 1, bounds.get("max", 2**31 - 1) + 1, 2**63}:
            yield number, str(number)
        yield 1.5, "1.5"
    elif kind == "list" and "max" in bounds:
        yield None, str(bounds["max"] + 1)  # filled in where the elements are known


def places(shape, steps=(), seen=()):
    """Every place of a request: the steps to it, and its shape."""
    kind = shape.type_name
    if steps:
        yield steps, shape
    if kind == "structure" and shape.name not in seen and not getattr(shape, "is_document_type", False):
        for member, of in shape.members.items():
            yield from places(of, steps + (member,), seen + (shape.name,))
    elif kind == "list":
        yield from places(shape.member, steps + (0,), seen)
    elif kind == "map":
        yield from places(shape.value, steps + ("a",), seen)


def put(document, shape, steps, value):
    """Puts a value at a place, and what has to be around it."""
    here, of = document, shape
    for step, after in zip(steps, steps[1:] + (None,)):
        if of.type_name == "structure":
            if getattr(of, "is_tagged_union", False):
                here.clear()
            of = of.members[step]
        else:
            of = of.member if of.type_name == "list" else of.value
        if after is None:
            if isinstance(here, list):
                here[:] = [value]
            else:
                here[step] = value
            return
        if isinstance(here, list):
            if not here:
                here.append(whole(of))
        elif step not in here:
            here[step] = whole(of, step)
        here = here[step]


def letters(text):
    return "".join(letter for letter in text.lower() if letter.isalnum())


def is_named(steps, message):
    """Whether the member is named, or the list that it is an element of; letters and digits count."""
    name = [step for step in steps if isinstance(step, str)][-1]
    told = letters(message)
    return any(letters(word).rstrip("s") in told for word in (name, ECS.get(name, name)))


def is_told(value, message):
    """Whether the value is in the sentence, or the beginning of a long one, or the word of it that does not fit."""
    plain = message.replace("\\", "")  # which stands before some letters where Rust shows a text
    return value[:BEGINNING] in plain or (value == ODD and value.split()[0] in plain)


def check(endpoint, operation, faults):
    shape = speak.model.operation_model(operation).input_shape
    made = refused = 0
    for steps, of in places(shape):
        if steps[-1] in ("nextToken",):
            continue  # a word of the server's own, of which nobody knows the parts
        for value, told in wrongs(of):
            document = whole(shape)
            if value is None:
                value = [whole(of.member, steps[-1])] * (of.metadata["max"] + 1)
            if "networkConfiguration" in steps:
                document["taskDefinition"] = "vpc:1"
            if "mountPoints" in steps:
                document["volumes"] = [{"name": "data"}]
            if "serviceName" in document:
                document["serviceName"] = f"service-{made}"
            if "tasks" in shape.members and "tasks" in NEEDED:
                document["tasks"] = [NEEDED["tasks"]]
            put(document, shape, steps, value)
            answer = endpoint.call(operation, document)
            made += 1
            what = f"{operation} {path_of(steps)} = {str(value)[:60]!r}"
            faults.extend(f"{what}: {fault}" for fault in answer.faults)
            if answer.status != 400:
                continue
            refused += 1
            if not is_named(steps, answer.message):
                faults.append(f"{what}: the member is not named in: {answer.message}")
            private = PRIVATE & set(steps) and steps[-1] != "name"
            if private and isinstance(value, str) and value[:8] in answer.message.replace("\\", ""):
                faults.append(f"{what}: what may be a secret is in: {answer.message}")
            if not private and not is_told(told, answer.message):
                faults.append(f"{what}: {told[:40]!r} is not told in: {answer.message}")
    return made, refused


def main():
    endpoint = speak.Endpoint(sys.argv[1])
    forms = generate.forms_of(sys.argv[2:])
    operations = [name for name in sorted(speak.model.operation_names) if name in forms]
    preparing = generate.Generator(1, endpoint)
    preparing.prepare()
    container = {"name": "main", "image": "busybox", "memory": 16}
    for family, more in (("vpc", {"networkMode": "awsvpc"}), ("web", {})):
        preparing.call("RegisterTaskDefinition", {"family": family, "containerDefinitions": [container]} | more, "prepare")
    for member, kind in generate.LEARNT.items():
        if preparing.arns.get(kind):
            NEEDED[member] = preparing.arns[kind][0]
    faults = list(preparing.faults)
    made = refused = 0
    for operation in operations:
        more, no = check(endpoint, operation, faults)
        made, refused = made + more, refused + no
    for fault in faults:
        print(fault)
    print(f"{made} requests, {refused} refused, {len(faults)} faults")
    # A walk in which nearly everything is taken has not tried anything.
    sys.exit(1 if faults or refused * 2 < made else 0)


if __name__ == "__main__":
    main()
