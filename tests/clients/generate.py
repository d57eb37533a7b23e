"""Valid and invalid requests for every operation, from the service model that botocore ships.

    generate.py URL FORMS... [--seed N] [--each N]    (or HYTHE_SEED=N)

FORMS are the tables of what requests may carry; their operations are the ones that have to be there, and they have to
say what the model says. No request may get a status other than 200 and 400, take long, or be answered with something
that botocore cannot read. Prints what is wrong, a line each, and ends with 1 if there is any.
"""

import argparse
import copy
import json
import os
import random
import sys
import time

import speak

# Texts that lead somewhere, by the member that holds them.
NAMES = {
    "cluster": ["default", "generated", "arn:aws:ecs:us-east-1:000000000000:cluster/generated"],
    "clusters": ["default", "generated", "missing"],
    "clusterName": ["generated", "other", "default"],
    "family": ["web", "other"],
    "familyPrefix": ["web", "w"],
    "taskDefinition": ["web", "web:1", "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1"],
    "taskDefinitions": ["other:1", "other:2", "web:999"],
    "serviceName": ["front", "back", "side"],
    "service": ["front", "back"],
    "services": ["front", "back", "missing"],
    "image": ["busybox", "nginx:1.27", "registry.example/team/app@sha256:" + "a" * 64],
    "name": ["main", "side"],
    "containerName": ["main"],
    "sourceContainer": ["main"],
    "sourceVolume": ["data"],
    "containerPath": ["/data", "/var/lib/x"],
    "sourcePath": ["/srv"],
    "hostPath": ["/dev/null"],
    "workingDirectory": ["/"],
    "cpu": ["256", ".5 vCPU", "1024"],
    "memory": ["512", "1 GB"],
    "user": ["1000", "app:app"],
    "ipAddress": ["10.0.0.1"],
    "dnsServers": ["10.0.0.2"],
    "principalArn": ["arn:aws:iam::000000000000:user/ada"],
    "value": ["enabled", "one", "busybox.env"],
    "namespace": ["shop", "net.core.somaxconn"],
    "capacityProvider": ["FARGATE", "FARGATE_SPOT"],
    "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
    "attributeName": ["rack", "ecs.os-type"],
    "subnets": ["subnet-12345ab"],
    "securityGroups": ["sg-67890cd"],
    "key": ["team", "stage"],
    "tagKeys": ["team"],
    "command": ["CMD-SHELL", "true"],
    "startedBy": ["me"],
    "group": ["mine"],
    "hostname": ["box"],
    "nextToken": [],
    "clientToken": [],
}
# Members whose texts come from what the server has answered, by the answer's member.
LEARNT = {
    "task": "taskArn",
    "tasks": "taskArn",
    "containerInstance": "containerInstanceArn",
    "containerInstances": "containerInstanceArn",
    "targetId": "containerInstanceArn",
    "resourceArn": None,
    "serviceDeploymentArn": "serviceDeploymentArn",
    "serviceDeploymentArns": "serviceDeploymentArn",
    "serviceRevisionArns": "serviceRevisionArn",
}
JUNK = [None, True, -1, 0, 1.5, 2**31, 2**64, 1e300, "", " ", "\x00", "x" * 3000, "é" * 300, [], [[]], {}, {"a": {"b": []}}, "../../etc", "arn:aws:ecs:us-east-1:000000000000:cluster/default"]


class Generator:
    def __init__(self, seed, endpoint):
        self.random = random.Random(seed)
        self.endpoint = endpoint
        self.arns = {}
        self.faults = []
        self.taken = {}
        self.refused = {}
        self.refusals = 0

    def call(self, operation, document, what):
        begin = time.monotonic()
        try:
            answer = self.endpoint.call(operation, document)
        except OSError as why:
            self.faults.append(f"{operation}: {what}: no answer: {why!r}: {str(document)[:300]}")
            self.endpoint.connection = None
            return None
        if time.monotonic() - begin > 10:
            answer.faults.append("it took more than ten seconds")
        for fault in answer.faults:
            self.faults.append(f"{operation}: {what}: {fault}: {str(document)[:400]}")
        count = self.taken if answer.status == 200 else self.refused
        count[operation] = count.get(operation, 0) + 1
        self.learn(answer.document)
        return answer

    def learn(self, value):
        """Keeps ARNs of an answer for later requests."""
        if isinstance(value, dict):
            for name, one in value.items():
                if name.endswith("Arn") and isinstance(one, str):
                    known = self.arns.setdefault(name, [])
                    if one not in known:
                        known.append(one)
                    del known[:-50]
                else:
                    self.learn(one)
        elif isinstance(value, list):
            for one in value:
                self.learn(one)

    def text(self, name):
        if name in LEARNT:
            kind = LEARNT[name]
            all_of = [arn for arns in self.arns.values() for arn in arns]
            known = self.arns.get(kind, []) if kind else all_of
            if known:
                return self.random.choice(known)
        return self.random.choice(NAMES.get(name) or ["generated"])

    def valid(self, shape, name="", depth=0):
        """A value that the model allows."""
        kind = shape.type_name
        if kind == "structure":
            chosen = {}
            for member, of in shape.members.items():
                likely = 0.35 if depth == 0 else 0.5 if depth < 4 else 0.2
                if member in shape.required_members or self.random.random() < likely:
                    if member in ("nextToken", "clientToken"):
                        continue
                    chosen[member] = self.valid(of, member, depth + 1)
            return chosen
        if kind == "list":
            return [self.valid(shape.member, name, depth + 1) for _ in range(self.random.choice([1, 1, 1, 2]))]
        if kind == "map":
            return {"awslogs-group": "g", "awslogs-region": "us-east-1"} if name == "options" else {"a": "b"}
        if kind == "string":
            return self.random.choice(shape.enum) if shape.enum else self.text(name)
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind in ("integer", "long"):
            metadata = shape.metadata
            low = metadata.get("min", 1)
            return self.random.choice([low, min(metadata.get("max", 60), 60), self.random.randint(low, max(low, 80))])
        if kind == "timestamp":
            return 1700000000.5
        return 10.0

    def places(self, value, path=()):
        """Every place in a document."""
        yield path
        if isinstance(value, dict):
            for name, one in value.items():
                yield from self.places(one, path + (name,))
        elif isinstance(value, list):
            for index, one in enumerate(value):
                yield from self.places(one, path + (index,))

    def spoilt(self, document):
        """The document with one thing wrong, or at least odd, and the names of the members around it."""
        document = copy.deepcopy(document)
        path = self.random.choice(list(self.places(document)))
        way = self.random.choice(["replace", "replace", "remove", "add", "repeat", "long"])
        if not path:
            if way == "add":
                document["unknownMember"] = 1
                return document, ["unknownMember"]
            return self.random.choice([[], "text", 5, None, {}]), []
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        if way == "remove":
            del parent[path[-1]]
        elif way == "add" and isinstance(parent[path[-1]], dict):
            parent[path[-1]]["unknownMember"] = self.random.choice(JUNK)
        elif way == "repeat" and isinstance(parent[path[-1]], list):
            parent[path[-1]] = parent[path[-1]] * 120
        elif way == "long" and isinstance(parent[path[-1]], str):
            parent[path[-1]] = parent[path[-1]] * 400
        else:
            parent[path[-1]] = self.random.choice(JUNK)
        return document, [step for step in path if isinstance(step, str)]

    def prepare(self):
        """Things for requests to be about."""
        container = {"name": "main", "image": "busybox", "memory": 16}
        for family in ("web", "web", "other", "other"):
            self.call("RegisterTaskDefinition", {"family": family, "containerDefinitions": [container]}, "prepare")
        self.call("CreateCluster", {"clusterName": "generated"}, "prepare")
        self.call("CreateCluster", {"clusterName": "unused"}, "prepare")
        for cluster in ("default", "generated"):
            self.call("RunTask", {"cluster": cluster, "taskDefinition": "web", "count": 2}, "prepare")
            arns = self.call("ListContainerInstances", {"cluster": cluster}, "prepare").document["containerInstanceArns"]
            self.learn([{"containerInstanceArn": arn} for arn in arns])
            request = {"cluster": cluster, "serviceName": "front", "taskDefinition": "web", "desiredCount": 1}
            request["serviceConnectConfiguration"] = {"enabled": True, "namespace": "shop"}
            self.call("CreateService", request, "prepare")
            answer = self.call("ListServiceDeployments", {"cluster": cluster, "service": "front"}, "prepare")
            arns = [one["serviceDeploymentArn"] for one in answer.document.get("serviceDeployments", [])]
            if arns:
                answer = self.call("DescribeServiceDeployments", {"serviceDeploymentArns": arns}, "prepare")
                for one in answer.document["serviceDeployments"]:
                    self.learn({"serviceRevisionArn": one["targetServiceRevision"]["arn"]})

    def sure(self, name):
        """Requests of which at least one is taken, where chance alone might find none."""
        if name == "DeleteCluster":
            return [{"cluster": "unused"}]
        if name == "DeleteService":
            return [{"cluster": "generated", "service": "front", "force": True}]
        if name == "StopServiceDeployment":
            arns = self.arns.get("serviceDeploymentArn", [])[:4]
            return [{"serviceDeploymentArn": arn, "stopType": way} for arn in arns for way in ("ABORT", "ROLLBACK")]
        return []

    def operation(self, name, each):
        shape = speak.model.operation_model(name).input_shape
        self.call(name, {}, "empty")
        for document in self.sure(name):
            self.call(name, document, "valid")
        for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"a":1,"a":2}', b"[" * 5000, b'{"cluster":"\\ud800"}'):
            self.call(name, body, "no document")
        for _ in range(each):
            document = self.valid(shape)
            before = self.call(name, document, "valid")
            spoilt, members = self.spoilt(document)
            after = self.call(name, spoilt, "spoilt")
            if members and before and after and before.status == 200 and after.status == 400:
                self.refusals += 1
                if not is_named(members, after.message):
                    self.faults.append(f"{name}: {'.'.join(members)} is not named in: {after.message}: {str(spoilt)[:300]}")


# What a request is refused for that was taken a moment before, whatever is wrong with it.
CHANGED = ("was not ACTIVE", "not idempotent", "is inactive", "still Draining", "still in ACTIVE status", "cannot be stopped")


def is_named(members, message):
    """Whether a refusal names the member that was spoilt, or one right around it; letters and digits count."""
    def letters(text):
        return "".join(letter for letter in text.lower() if letter.isalnum())

    told = letters(message)
    return any(letters(name).rstrip("s") in told for name in members[-2:]) or any(text in message for text in CHANGED)


def forms_of(paths):
    """The forms in the tables: name -> member -> (holds, is required)."""
    forms, current = {}, None
    for path in paths:
        for line in open(path, encoding="utf-8"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) == 1:
                current = forms.setdefault(words[0], {})
            else:
                current[words[0].rstrip("!")] = (words[1], words[0].endswith("!"))
    return forms


def holds(shape):
    """What the model says that a member holds, in the words of the tables."""
    kind = shape.type_name
    if kind == "structure":
        return "any" if getattr(shape, "is_document_type", False) else shape.name
    if kind == "list":
        return f"[{holds(shape.member)}]"
    if kind == "map":
        return "{" + holds(shape.value) + "}"
    if kind == "string":
        return "=" + "|".join(shape.enum) if shape.enum else "text"
    return {"integer": "int", "long": "long", "boolean": "flag", "timestamp": "number", "double": "number", "float": "number"}[kind]


# What the tables know beyond the model.
MORE = {"LogConfiguration.logDriver": "|none"}


def without_bounds(text):
    """`[text:1..9]:0..2` as `[text]`."""
    result, rest = "", text
    if text.startswith("="):
        return text
    while ":" in rest:
        before, after = rest.split(":", 1)
        result += before
        rest = after.lstrip("0123456789.")
    return result + rest


def compare(forms, operations):
    """Where the tables do not say what the model says."""
    seen, found = set(), []

    def walk(name, shape):
        if name in seen:
            return
        seen.add(name)
        form = forms.get(name)
        if form is None:
            found.append(f"there is no form {name}")
            return
        for member, of in shape.members.items():
            if member not in form:
                found.append(f"{name} has no {member}")
                continue
            said, is_required = form[member]
            if without_bounds(said) != holds(of) + MORE.get(f"{name}.{member}", ""):
                found.append(f"{name}.{member} is {said}, and {holds(of)} in the model")
            # A union has one of its members; where there is but one, that one.
            is_only = getattr(shape, "is_tagged_union", False) and len(shape.members) == 1
            if is_required != (member in shape.required_members or is_only):
                found.append(f"{name}.{member} is {'' if is_required else 'not '}required, unlike in the model")
            while of.type_name in ("list", "map"):
                of = of.member if of.type_name == "list" else of.value
            if of.type_name == "structure" and not getattr(of, "is_document_type", False):
                walk(of.name, of)
        found.extend(f"{name}.{member} is not in the model" for member in form if member not in shape.members)

    for operation in operations:
        walk(operation, speak.model.operation_model(operation).input_shape)
    return found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("forms", nargs="+")
    # The same requests each time, so that a change of the answer is a change of the server.
    arguments.add_argument("--seed", type=int, default=int(os.environ.get("HYTHE_SEED", "1")))
    arguments.add_argument("--each", type=int, default=60)
    given = arguments.parse_args()
    print(f"seed {given.seed}")
    forms = forms_of(given.forms)
    done = [name for name in speak.model.operation_names if name in forms]
    generator = Generator(given.seed, speak.Endpoint(given.url))
    generator.faults += compare(forms, done)
    generator.prepare()
    for name in done:
        # What would take the ground away from the others comes last.
        if not name.startswith("Delete"):
            generator.operation(name, given.each)
    for name in done:
        if name.startswith("Delete"):
            generator.operation(name, given.each)
    for name in done:
        if not generator.taken.get(name):
            generator.faults.append(f"{name}: no valid request was taken")
        if not generator.refused.get(name):
            generator.faults.append(f"{name}: no invalid request was refused")
    for name in speak.model.operation_names:
        if name in done:
            continue
        answer = generator.call(name, {}, "not there")
        if answer and (answer.error != "UnsupportedFeatureException" or name not in answer.message):
            generator.faults.append(f"{name}: {answer.error}: {answer.message}")
    for fault in sorted(set(generator.faults)):
        print(fault)
    total = sum(generator.taken.values()), sum(generator.refused.values())
    print(json.dumps({"operations": len(done), "taken": total[0], "refused": total[1], "named": generator.refusals}))
    sys.exit(1 if generator.faults else 0)


if __name__ == "__main__":
    main()
