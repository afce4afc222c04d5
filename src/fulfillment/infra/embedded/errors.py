"""What can stop a database from being used, each in a sentence for the operator."""

from fulfillment.kernel.errors import FulfillmentError, Kind


class DataDirBusy(FulfillmentError):
    """Another process uses the data dir."""

    kind = Kind.CONFLICT
    code = "data_dir_busy"
    title = "The data dir is in use"


class DataDirUnusable(FulfillmentError):
    """The data dir can't be read or written as it must be."""

    kind = Kind.INVALID
    code = "data_dir_unusable"
    title = "The data dir can't be used"


class PostgresFailed(FulfillmentError):
    """PostgreSQL can't be started or used."""

    kind = Kind.UNAVAILABLE
    code = "postgres_failed"
    title = "PostgreSQL does not work"
