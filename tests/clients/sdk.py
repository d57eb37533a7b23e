"""boto3 against a running daemon: waiters, paginators, typed errors, tags, tokens.

    sdk.py URL IMAGE    (IMAGE has a shell)
"""

import sys

import boto3
from botocore.config import Config

url, image = sys.argv[1:]
ecs = boto3.client(
    "ecs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b",
    # A retry could hide a fault.
    config=Config(retries={"max_attempts": 1, "mode": "standard"}),
)


def container(line, **more):
    return {"name": "main", "image": image, "command": ["sh", "-c", line], "memory": 32, "stopTimeout": 2, **more}


STAY = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"
QUICK = {"Delay": 1, "MaxAttempts": 60}

# Errors are the model's own, with a request id.
try:
    ecs.describe_tasks(cluster="nowhere", tasks=["x"])
    raise AssertionError("a cluster that is not there was described")
except ecs.exceptions.ClusterNotFoundException as error:
    assert len(error.response["ResponseMetadata"]["RequestId"]) == 36

# A batch task comes to its end.
ecs.register_task_definition(family="batch", containerDefinitions=[container("exit 3")])
task = ecs.run_task(taskDefinition="batch", count=1, clientToken="once", tags=[{"key": "a", "value": "b"}])["tasks"][0]
again = ecs.run_task(taskDefinition="batch", count=1, clientToken="once", tags=[{"key": "a", "value": "b"}])["tasks"][0]
assert task["taskArn"] == again["taskArn"], "a token started two tasks"
try:
    ecs.run_task(taskDefinition="batch", count=2, clientToken="once")
    raise AssertionError("a token was taken for another request")
except ecs.exceptions.ConflictException as error:
    assert error.response["resourceIds"] == [task["taskArn"]], error.response
ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=QUICK)
ended = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0]
assert ended["containers"][0]["exitCode"] == 3 and ended["stopCode"] == "EssentialContainerExited", ended
assert ended["createdAt"] <= ended["startedAt"] <= ended["stoppedAt"], ended

# A task that stays is waited for and stopped.
ecs.register_task_definition(family="stay", containerDefinitions=[container(STAY)])
task = ecs.run_task(taskDefinition="stay")["tasks"][0]["taskArn"]
ecs.get_waiter("tasks_running").wait(tasks=[task], WaiterConfig=QUICK)
ecs.stop_task(task=task, reason="enough")
assert task not in ecs.list_tasks()["taskArns"], "a task that was stopped is listed as RUNNING"
ecs.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=QUICK)
assert ecs.describe_tasks(tasks=[task])["tasks"][0]["stoppedReason"] == "enough"

# A service becomes stable, is updated, and ends.
for count in (1, 2):
    ecs.create_service(serviceName=f"web{count}", taskDefinition="stay", desiredCount=count)
ecs.get_waiter("services_stable").wait(services=["web1", "web2"], WaiterConfig=QUICK)
ecs.register_task_definition(family="stay", containerDefinitions=[container(STAY, environment=[{"name": "A", "value": "1"}])])
service = ecs.update_service(service="web2", taskDefinition="stay:2")["service"]
assert service["taskDefinition"].endswith("task-definition/stay:2"), service["taskDefinition"]
ecs.get_waiter("services_stable").wait(services=["web2"], WaiterConfig=QUICK)
arns = ecs.list_tasks(serviceName="web2")["taskArns"]
revisions = {one["taskDefinitionArn"].rsplit(":", 1)[1] for one in ecs.describe_tasks(tasks=arns)["tasks"]}
assert revisions == {"2"} and len(arns) == 2, (revisions, arns)
deployments = ecs.list_service_deployments(service="web2")["serviceDeployments"]
assert len(deployments) == 2 and deployments[0]["status"] in ("IN_PROGRESS", "SUCCESSFUL"), deployments
for count in (1, 2):
    ecs.delete_service(service=f"web{count}", force=True)
ecs.get_waiter("services_inactive").wait(services=["web1", "web2"], WaiterConfig=QUICK)

# Paginators lead through everything, once.
for number in range(7):
    ecs.create_cluster(clusterName=f"c{number}")
pages = list(ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 3}))
names = [arn.rsplit("/", 1)[1] for page in pages for arn in page["clusterArns"]]
assert names == sorted(set(names)) and len(names) == 8 and len(pages) == 3, (names, len(pages))
for operation, members in (
    ("list_tasks", {"desiredStatus": "STOPPED"}), ("list_services", {}), ("list_task_definitions", {}),
    ("list_task_definition_families", {}), ("list_container_instances", {}), ("list_account_settings", {"effectiveSettings": True}),
    ("list_attributes", {"targetType": "container-instance"}),
):
    whole = ecs.get_paginator(operation).paginate(**members, PaginationConfig={"PageSize": 2}).build_full_result()
    [values] = [value for value in whole.values() if isinstance(value, list)]
    seen = [str(value) for value in values]
    assert len(seen) == len(set(seen)), (operation, seen)
print("done")
