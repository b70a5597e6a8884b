"""Whether the data of an Arrow file is what it says: the file is read as it lies, so damage would be read as memory."""

import pyarrow as pa

# Types of the same layout that are valid whatever the bytes are.
_BYTES_FOR_TEXT = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


def check_structure(batch: "pa.RecordBatch") -> None:
    """Refuse a batch whose offsets or indices lead outside its buffers; text that is not UTF-8 may pass.

    Raises:
        pa.ArrowInvalid: says at which offset.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for column in batch.columns:
            column.view(_with_bytes_for_text(column.type)).validate(full=True)


def _with_bytes_for_text(kind: "pa.DataType") -> "pa.DataType":
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_bytes_for_text(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_bytes_for_text(kind.key_type), _with_bytes_for_text(kind.item_type))
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _with_bytes_for_text(kind.value_type), kind.ordered)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make_list = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make_list(kind.value_field.with_type(_with_bytes_for_text(kind.value_type)))
    return _BYTES_FOR_TEXT.get(kind, kind)
