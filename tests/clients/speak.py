"""Raw requests to an ECS endpoint, and how botocore reads what comes back.

The SDKs check a request before they send it, so what they would never send is written here by hand. An answer is read
by the parser that the SDKs use, and then held against the service model member by member: the parser forgives more
than other languages' SDKs do.
"""

import http.client
import json
import urllib.parse

import botocore.parsers
import botocore.session

TARGET = "AmazonEC2ContainerServiceV20141113."

# What any AWS service with this protocol may answer beside the errors that its model names.
COMMON_ERRORS = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "UnsupportedFeatureException",
}

model = botocore.session.get_session().get_service_model("ecs")
_parser = botocore.parsers.create_parser("json")


class Answer:
    """One answer: its status, its document, and what is wrong with it."""

    def __init__(self, operation, status, headers, body):
        self.status = status
        self.faults = []
        if "x-amzn-requestid" not in headers:
            self.faults.append("no x-amzn-RequestId")
        if headers.get("content-type") != "application/x-amz-json-1.1":
            self.faults.append(f"content-type {headers.get('content-type')}")
        if status not in (200, 400):
            self.faults.append(f"status {status}")
        self.document, self.error, self.message = {}, None, None
        try:
            self.document = json.loads(body)
        except ValueError as why:
            self.faults.append(f"no JSON: {why}")
            return
        self._read(operation, status, headers, body)

    def _read(self, operation, status, headers, body):
        known = model.operation_model(operation) if operation in model.operation_names else None
        shape = known.output_shape if known else None
        response = {"status_code": status, "headers": headers, "body": body}
        try:
            parsed = _parser.parse(response, shape)
        except Exception as why:  # whatever the parser throws is the finding
            self.faults.append(f"botocore cannot read it: {why!r}")
            return
        if status == 200:
            if shape is not None:
                self.faults += differences(shape, self.document, "")
            return
        self.error = parsed.get("Error", {}).get("Code")
        self.message = parsed.get("Error", {}).get("Message")
        allowed = COMMON_ERRORS | ({shape.name for shape in known.error_shapes} if known else set())
        # Two that the model names for some operations and the service gives for all.
        allowed |= {"ClientException", "InvalidParameterException", "ClusterNotFoundException"}
        if self.error not in allowed:
            self.faults.append(f"error {self.error} is not one of {operation}")
        if not self.message:
            self.faults.append("an error without a sentence")


def differences(shape, value, path):
    """Where a value is not what its shape says."""
    kind = shape.type_name
    here = path or "the answer"
    if value is None:
        return [f"{here} is null"]
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{here} is no object"]
        found = [f"{path}.{name} is not in the model" for name in value if name not in shape.members]
        found += [f"{path}.{name} is missing" for name in shape.required_members if name not in value]
        for name, member in shape.members.items():
            if name in value:
                found += differences(member, value[name], f"{path}.{name}")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{here} is no list"]
        return [fault for index, one in enumerate(value) for fault in differences(shape.member, one, f"{path}[{index}]")]
    if kind == "map":
        if not isinstance(value, dict):
            return [f"{here} is no object"]
        return [fault for name, one in value.items() for fault in differences(shape.value, one, f"{path}.{name}")]
    if kind == "string":
        if not isinstance(value, str):
            return [f"{here} is no string: {value!r}"]
        if shape.enum and value not in shape.enum:
            return [f"{here} is '{value}', not one of {shape.enum}"]
        return []
    if kind == "boolean":
        return [] if isinstance(value, bool) else [f"{here} is no boolean: {value!r}"]
    if kind in ("integer", "long"):
        return [] if isinstance(value, int) and not isinstance(value, bool) else [f"{here} is no integer: {value!r}"]
    if kind in ("double", "float", "timestamp"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return [] if is_number else [f"{here} is no number: {value!r}"]
    return [f"{here} has the type {kind}, which this test does not know"]


class Endpoint:
    """One connection to an endpoint, made again when the other side closes it."""

    def __init__(self, url):
        address = urllib.parse.urlparse(url)
        self.host, self.port = address.hostname, address.port
        self.connection = None

    def call(self, operation, document):
        """Calls an operation with a document, or with bytes that are none."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET + operation}
        for is_last in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
            try:
                self.connection.request("POST", "/", body, headers)
                response = self.connection.getresponse()
                body_back = response.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection = None
                if is_last:
                    raise
        given = {name.lower(): value for name, value in response.getheaders()}
        return Answer(operation, response.status, given, body_back)
