"""Rows from a .parquet file."""

import re

from tfae.data.columns import NO_TEXT, element_type, gather, is_number
from tfae.data.numbering import leading_index
from tfae.data.rounding import called
from tfae.errors import DataError

PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(path):
    """The columns of a .parquet file but pandas' index.

    Raises:
        DataError: A column is not of numbers or lists of one length, a cell is empty, or nothing
            is left beside the index.
    """
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        schema = file.schema_arrow
        index = _pandas_index(schema)
        skip = {i for i, name in enumerate(schema.names) if name in index}
        if skip and len(skip) == len(schema.names):
            raise DataError(f"{path}: holds pandas' index and no other column; give it columns")
        kept = [(i, field) for i, field in enumerate(schema) if i not in skip]
        for i, field in kept:
            _refuse_what_is_no_number(field, i, path)
        suspects = leading_index([field.name for _, field in kept])
        while suspects and not all(types.is_integer(field.type) for _, field in kept[:suspects]):
            suspects -= 1
        notes = [
            f"left out {called(schema.names[i], i)}, which is pandas' index; make it a column "
            "(reset_index) to keep it"
            for i in sorted(skip)
        ]
        return gather(
            file.iter_batches(),
            schema.names,
            path,
            skip=skip,
            suspects=suspects,
            notes=notes,
        )


def _pandas_index(schema):
    """The names of the columns that hold an index, as pandas writes down or calls them."""
    metadata = schema.pandas_metadata or {}
    listed = metadata.get("index_columns") if isinstance(metadata, dict) else None
    # An index that only counts is a description, a dict, and no column.
    listed = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return {*listed, *filter(PANDAS_INDEX.fullmatch, schema.names)}


def _refuse_what_is_no_number(field, column, path):
    from pyarrow import types

    kind, title = element_type(field.type), called(field.name, column)
    if is_number(kind):
        return
    if types.is_null(kind):
        raise DataError(f"{path}: {title} is empty throughout; drop it")
    if types.is_temporal(kind):
        raise DataError(
            f"{path}: {title} holds times ({field.type}); drop it or turn it into numbers, such as "
            "seconds since the first"
        )
    if types.is_dictionary(field.type):
        raise DataError(
            f"{path}: {title} holds categories of {kind}; drop it or turn it into numbers, such as "
            "a column of 0 and 1 for each"
        )
    raise DataError(f"{path}: {title} holds {field.type}; {NO_TEXT}")
