from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Packed(_message.Message):
    __slots__ = ("type_url", "value")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    value: bytes
    def __init__(self, type_url: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class ParsedExpr(_message.Message):
    __slots__ = ("expr",)
    EXPR_FIELD_NUMBER: _ClassVar[int]
    expr: bytes
    def __init__(self, expr: _Optional[bytes] = ...) -> None: ...

class Expr(_message.Message):
    __slots__ = ("id", "constant", "ident", "select", "call", "list", "struct", "comprehension")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONSTANT_FIELD_NUMBER: _ClassVar[int]
    IDENT_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    STRUCT_FIELD_NUMBER: _ClassVar[int]
    COMPREHENSION_FIELD_NUMBER: _ClassVar[int]
    id: int
    constant: Constant
    ident: Ident
    select: Select
    call: Call
    list: ListOf
    struct: Struct
    comprehension: Comprehension
    def __init__(self, id: _Optional[int] = ..., constant: _Optional[_Union[Constant, _Mapping]] = ..., ident: _Optional[_Union[Ident, _Mapping]] = ..., select: _Optional[_Union[Select, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., list: _Optional[_Union[ListOf, _Mapping]] = ..., struct: _Optional[_Union[Struct, _Mapping]] = ..., comprehension: _Optional[_Union[Comprehension, _Mapping]] = ...) -> None: ...

class Constant(_message.Message):
    __slots__ = ("null_value", "bool_value", "int64_value", "uint64_value", "double_value", "string_value", "bytes_value")
    NULL_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT64_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    BYTES_VALUE_FIELD_NUMBER: _ClassVar[int]
    null_value: int
    bool_value: bool
    int64_value: int
    uint64_value: int
    double_value: float
    string_value: str
    bytes_value: bytes
    def __init__(self, null_value: _Optional[int] = ..., bool_value: _Optional[bool] = ..., int64_value: _Optional[int] = ..., uint64_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., bytes_value: _Optional[bytes] = ...) -> None: ...

class Ident(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Select(_message.Message):
    __slots__ = ("operand", "field", "test_only")
    OPERAND_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    TEST_ONLY_FIELD_NUMBER: _ClassVar[int]
    operand: bytes
    field: str
    test_only: bool
    def __init__(self, operand: _Optional[bytes] = ..., field: _Optional[str] = ..., test_only: _Optional[bool] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("target", "function", "args")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    target: bytes
    function: str
    args: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, target: _Optional[bytes] = ..., function: _Optional[str] = ..., args: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ListOf(_message.Message):
    __slots__ = ("elements", "optional_indices")
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_INDICES_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    optional_indices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ..., optional_indices: _Optional[_Iterable[int]] = ...) -> None: ...

class Struct(_message.Message):
    __slots__ = ("name", "entries")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, name: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("id", "field", "key", "value", "optional")
    ID_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    id: int
    field: str
    key: bytes
    value: bytes
    optional: bool
    def __init__(self, id: _Optional[int] = ..., field: _Optional[str] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., optional: _Optional[bool] = ...) -> None: ...

class Comprehension(_message.Message):
    __slots__ = ("iter_var", "iter_range", "accu_var", "accu_init", "loop_condition", "loop_step", "result", "iter_var2")
    ITER_VAR_FIELD_NUMBER: _ClassVar[int]
    ITER_RANGE_FIELD_NUMBER: _ClassVar[int]
    ACCU_VAR_FIELD_NUMBER: _ClassVar[int]
    ACCU_INIT_FIELD_NUMBER: _ClassVar[int]
    LOOP_CONDITION_FIELD_NUMBER: _ClassVar[int]
    LOOP_STEP_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ITER_VAR2_FIELD_NUMBER: _ClassVar[int]
    iter_var: str
    iter_range: bytes
    accu_var: str
    accu_init: bytes
    loop_condition: bytes
    loop_step: bytes
    result: bytes
    iter_var2: str
    def __init__(self, iter_var: _Optional[str] = ..., iter_range: _Optional[bytes] = ..., accu_var: _Optional[str] = ..., accu_init: _Optional[bytes] = ..., loop_condition: _Optional[bytes] = ..., loop_step: _Optional[bytes] = ..., result: _Optional[bytes] = ..., iter_var2: _Optional[str] = ...) -> None: ...
