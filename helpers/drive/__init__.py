"""Between this machine and MyDrive: what arrives is whole, nothing is lost."""

from helpers.drive.copying import copy_verified
from helpers.drive.results import mydrive, publish, restore_workspace
