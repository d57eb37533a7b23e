"""The tables of docs/API.md, from requests that were made.

    coverage.py URL ACTS FORMS...

Every operation is called with requests made from the service model, valid and invalid ones; every member of a task
definition is registered and has to come back as it was given. ACTS says what is done with each, and which test shows
that. Prints the page.
"""

import sys

import generate
import speak

CONTAINER = {
    "name": "main", "image": "busybox:1.36", "cpu": 64, "memory": 64, "memoryReservation": 32, "essential": True,
    "repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry"},
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60},
    "entryPoint": ["sh", "-c"], "command": ["sleep 1"], "environment": [{"name": "A", "value": "1"}],
    "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/a.env"}],
    "secrets": [{"name": "TOKEN", "valueFrom": "token"}],
    "mountPoints": [{"sourceVolume": "plain", "containerPath": "/plain", "readOnly": True}],
    "dependsOn": [{"containerName": "side", "condition": "HEALTHY"}],
    "startTimeout": 60, "stopTimeout": 10, "versionConsistency": "disabled", "user": "1000:1000",
    "workingDirectory": "/tmp", "privileged": False, "readonlyRootFilesystem": True, "interactive": True,
    "pseudoTerminal": True, "dockerLabels": {"team": "a"}, "dockerSecurityOptions": ["no-new-privileges"],
    "disableNetworking": False, "dnsServers": ["10.0.0.2"], "dnsSearchDomains": ["example.internal"],
    "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048}],
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-region": "us-east-1", "awslogs-group": "g", "awslogs-stream-prefix": "p"},
        "secretOptions": [{"name": "key", "valueFrom": "token"}],
    },
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "512"}],
    "linuxParameters": {
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
        "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/none", "permissions": ["read"]}],
        "initProcessEnabled": True, "sharedMemorySize": 64, "maxSwap": 64, "swappiness": 60,
        "tmpfs": [{"containerPath": "/scratch", "size": 16, "mountOptions": ["noexec"]}],
    },
    "resourceRequirements": [
        {"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1024, "maxComputePercent": 50}}},
    ],
    "credentialSpecs": ["credentialspec:arn:aws:s3:::bucket/spec.json"],
}
SIDE = {
    "name": "side", "image": "busybox", "memory": 16, "volumesFrom": [{"sourceContainer": "other", "readOnly": True}],
    "healthCheck": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3, "startPeriod": 10},
}
OTHER = {"name": "other", "image": "busybox", "memory": 16}
PLAIN = {"name": "main", "image": "busybox", "memory": 16}
DOCUMENTS = [
    {
        "family": "bridge", "networkMode": "bridge", "taskRoleArn": "arn:aws:iam::000000000000:role/task",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution", "cpu": "256", "memory": "512",
        "pidMode": "task", "ipcMode": "task", "requiresCompatibilities": ["EC2"],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}],
        "enableFaultInjection": True, "inferenceAccelerators": [{"deviceName": "d", "deviceType": "eia2.medium"}],
        "trustedExecutionConfiguration": {"isolationMode": "SHARED", "attestationPolicy": "p"},
        "ephemeralStorage": {"sizeInGiB": 30}, "tags": [{"key": "team", "value": "a"}],
        "volumes": [
            {"name": "plain", "host": {"sourcePath": "/srv"}},
            {"name": "named", "dockerVolumeConfiguration": {
                "scope": "shared", "autoprovision": True, "driver": "local", "driverOpts": {"o": "ro"}, "labels": {"a": "b"},
            }},
            {"name": "efs", "efsVolumeConfiguration": {
                "fileSystemId": "fs-1", "rootDirectory": "/", "transitEncryption": "ENABLED", "transitEncryptionPort": 2049,
                "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
            }},
            {"name": "s3", "s3filesVolumeConfiguration": {
                "fileSystemArn": "arn:aws:s3files:us-east-1:000000000000:file-system/fs-1", "rootDirectory": "/",
                "transitEncryptionPort": 2049, "accessPointArn": "arn:aws:s3files:us-east-1:000000000000:access-point/a",
            }},
            {"name": "fsx", "fsxWindowsFileServerVolumeConfiguration": {
                "fileSystemId": "fs-2", "rootDirectory": "/",
                "authorizationConfig": {"credentialsParameter": "arn:aws:ssm:us-east-1:000000000000:parameter/p", "domain": "d"},
            }},
            {"name": "ebs", "configuredAtLaunch": True},
        ],
        "containerDefinitions": [
            CONTAINER | {
                "hostname": "box", "links": ["other:o"], "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}],
                "portMappings": [
                    {"containerPort": 80, "hostPort": 8080, "protocol": "tcp", "name": "http", "appProtocol": "http"},
                    {"containerPortRange": "9000-9010", "protocol": "udp"},
                ],
            },
            SIDE,
            OTHER,
        ],
    },
    {
        "family": "awsvpc", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "proxyConfiguration": {"type": "APPMESH", "containerName": "main", "properties": [{"name": "AppPorts", "value": "80"}]},
        "containerDefinitions": [
            PLAIN,
            {"name": "router", "image": "fluent-bit", "firelensConfiguration": {
                "type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"},
            }},
        ],
    },
]


CALLING = """## Who may call

Over the unix socket root and the daemon's user may, and whom `allowed_uids` and `group` in `[api]` name. Over TCP
requests are signed (Signature Version 4, service `ecs`, the region of the configuration), with a key of a file in the
form of `~/.aws/credentials` that only its owner can read:

    [api]
    listen = "0.0.0.0:8443"
    keys_file = "/etc/hythe/keys"
    tls_certificate = "/etc/hythe/chain.pem"
    tls_key = "/etc/hythe/key.pem"

On loopback `allow_unsigned = true` takes the place of `keys_file`, and any signature is taken or none. Clients are
pointed here by `AWS_ENDPOINT_URL_ECS` or `--endpoint-url`.

## Choices

Where ECS's own behaviour is not written down, or one host is not a cloud:

- a member that no request has is refused by its name, with the nearest that there is; a member that is there twice too
- a refusal names the member and what it holds, the beginning of it where that is long; what may be a secret it does not
  repeat, because refusals end up in logs and terminals: values of `environment`, and of the `options` of log and volume
  drivers
- client tokens are remembered for 24 hours
- on a DRAINING instance RunTask is refused (`No Container Instances were found in your cluster.`), and StartTask gives
  the failure `INACTIVE`
- task protection of a task that is not there is a `ResourceNotFoundException`; protection of more tasks than the service
  is to have gives the failure `DEPLOYMENT_BLOCKED`
- the account settings for long ARNs cannot be switched off, because no other ARNs are written
- the platform version `LATEST` is shown as `1.4.0`
- placement constraints are looked at when a task is placed, and for DAEMON services while it runs; an operator with a `!`
  is the opposite of the one without, also where the attribute is not there; `ec2InstanceId` is the container instance's
  id, and `registeredAt` counts in seconds since 1970
- a definition that says `requiresCompatibilities: FARGATE` is held to what Fargate takes; without it, no task of it runs
  with launch type FARGATE, or with the capacity providers FARGATE and FARGATE_SPOT, which have the same rules
- a task on Fargate has 20 GiB of storage unless it asks for more; others have no limit unless they ask for one
- `requiresAttributes` has the names of ECS's own agents, without the versions of Docker
- a DAEMON service wants no task (`desiredCount` 0) on a host that is DRAINING or not what its constraints ask for
- when all places for connections are taken, idle ones are closed, and new ones get a 503 with `ThrottlingException`
"""


def leaves(shape, path=""):
    """The members of a shape, to the last one."""
    for name, member in shape.members.items():
        here = f"{path}.{name}".lstrip(".")
        while member.type_name == "list":
            member = member.member
        if member.type_name == "structure" and member.members:
            yield from leaves(member, here)
        else:
            yield here


def given(value, path=""):
    """The members of a document that hold something."""
    if isinstance(value, dict):
        for name, one in value.items():
            here = f"{path}.{name}".lstrip(".")
            is_map = here.endswith((".options", ".dockerLabels", ".driverOpts", ".labels"))
            if is_map:
                yield here
            else:
                yield from given(one, here)
    elif isinstance(value, list):
        for one in value:
            yield from given(one, path)
    else:
        yield path


def lost(sent, back, path=""):
    """What of a document did not come back as it was given."""
    if isinstance(sent, dict):
        if not isinstance(back, dict):
            return [path]
        return [fault for name, one in sent.items() for fault in lost(one, back.get(name), f"{path}.{name}".lstrip("."))]
    if isinstance(sent, list):
        if not isinstance(back, list) or len(sent) != len(back):
            return [path]
        return [fault for one, other in zip(sent, back) for fault in lost(one, other, path)]
    return [] if sent == back else [path]


def acts_of(path):
    """NAME -> (what it does, the test)."""
    lines = (line.strip() for line in open(path, encoding="utf-8"))
    rows = (line.split("|") for line in lines if line and not line.startswith("#"))
    return {row[0].strip(): (row[1].strip(), row[2].strip()) for row in rows}


def act(acts, name):
    """The line of a member, or of the member around it."""
    while name not in acts and "." in name:
        name = name.rsplit(".", 1)[0]
    return acts.get(name, ("", ""))


def main():
    url, acts_path, *form_paths = sys.argv[1:]
    acts = acts_of(acts_path)
    endpoint = speak.Endpoint(url)
    accepted, faults = set(), []
    for document in DOCUMENTS:
        answer = endpoint.call("RegisterTaskDefinition", document)
        if answer.status != 200:
            faults.append(f"{document['family']}: {answer.message}")
            continue
        back = answer.document["taskDefinition"] | {"tags": answer.document["tags"]}
        missing = lost(document, back)
        faults += [f"{document['family']}: {path} did not come back" for path in missing] + answer.faults
        accepted |= set(given(document)) - set(missing)

    forms = generate.forms_of(form_paths)
    done = sorted(name for name in speak.model.operation_names if name in forms)
    generator = generate.Generator(7, endpoint)
    generator.prepare()
    for name in sorted(done, key=lambda name: name.startswith("Delete")):
        generator.operation(name, 60)
    yes = lambda is_so: "yes" if is_so else "no"

    print("# The API\n")
    print("Made by the test `api::botocore::the_page_of_the_api_is_what_was_seen`, from requests to a running server; "
          "`HYTHE_WRITE=1 scripts/test the_page_of_the_api` writes it anew.\n")
    print("*Accepted*: valid requests made from the service model of botocore were taken, and invalid ones got an "
          "error of ECS. *Acted on*: what that does on this host. *Tested*: the test that shows it, beside those of "
          "this page and of the real clients.\n")
    print(CALLING)
    print("## Operations\n")
    print("| Operation | Accepted | Acted on | Tested |\n|---|---|---|---|")
    for name in done:
        what, test = acts.get(name, ("", ""))
        is_so = generator.taken.get(name) and generator.refused.get(name)
        if not (is_so and what and test):
            faults.append(f"{name}: a row says what is done and which test shows it, and requests of both kinds were made")
        print(f"| {name} | {yes(is_so)} | {what} | `{test}` |")
    others = sorted(set(speak.model.operation_names) - set(done))
    for name in others:
        answer = endpoint.call(name, {})
        if (answer.status, answer.error) != (400, "UnsupportedFeatureException") or name not in (answer.message or ""):
            faults.append(f"{name}: {answer.error}: {answer.message}")
        print(f"| {name} | no | 400 `UnsupportedFeatureException`, with its name | `no_request_made_from_the_service_model_is_answered_wrongly` |")
    print()
    print("## Members of a task definition\n")
    print("A member that is accepted comes back exactly as it was given.\n")
    print("| Member | Accepted | Acted on | Tested |\n|---|---|---|---|")
    shape = speak.model.operation_model("RegisterTaskDefinition").input_shape
    for path in leaves(shape):
        what, test = act(acts, path)
        if not what:
            # That it comes back as it was given is what this page is made from.
            test = "the_page_of_the_api_is_what_was_seen"
        if not test:
            faults.append(f"{path}: {what}, and no test shows it")
        print(f"| {path} | {yes(path in accepted)} | {what or 'kept and given back'} | `{test}` |")
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
