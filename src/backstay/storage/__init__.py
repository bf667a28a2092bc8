"""What Backstay keeps: the database with its journal and seals, files of records, and run folders."""

from backstay.storage.atomic import atomic_file, replace_folder_atomic, write_atomic
from backstay.storage.batch import Batch, Review
from backstay.storage.checkpoint import Checkpoint
from backstay.storage.engine import open_database
from backstay.storage.inclusion import Inclusion, inclusion_fault, prove_inclusion
from backstay.storage.records_file import read_records, write_records
from backstay.storage.repository import DatasetCounts, Repository
from backstay.storage.run_folder import RunFolder
from backstay.storage.seal import Seal, Sealer, SealLog, seal
from backstay.storage.store import Store
from backstay.storage.verify import VerifyReport, verify_journal

__all__ = [
    "Batch",
    "Checkpoint",
    "DatasetCounts",
    "Inclusion",
    "Repository",
    "Review",
    "RunFolder",
    "Seal",
    "SealLog",
    "Sealer",
    "Store",
    "VerifyReport",
    "atomic_file",
    "inclusion_fault",
    "open_database",
    "prove_inclusion",
    "read_records",
    "replace_folder_atomic",
    "seal",
    "verify_journal",
    "write_atomic",
    "write_records",
]
