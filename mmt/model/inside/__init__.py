"""Look and change inside a network: named places, edits that change activations there, and conditions on edits."""

from mmt.model.inside.changes import ablate as ablate
from mmt.model.inside.changes import add as add
from mmt.model.inside.changes import patch as patch
from mmt.model.inside.changes import project_out as project_out
from mmt.model.inside.changes import replace as replace
from mmt.model.inside.changes import resample as resample
from mmt.model.inside.conditions import Condition as Condition
from mmt.model.inside.conditions import at as at
from mmt.model.inside.conditions import notes as notes
from mmt.model.inside.conditions import ramp as ramp
from mmt.model.inside.conditions import scale as scale
from mmt.model.inside.conditions import where as where
from mmt.model.inside.edits import Edit as Edit
from mmt.model.inside.edits import Edits as Edits
from mmt.model.inside.edits import Step as Step
from mmt.model.inside.edits import combine as combine
from mmt.model.inside.edits import edited as edited
from mmt.model.inside.edits import edits_of as edits_of
from mmt.model.inside.knock_outs import knock_out as knock_out
from mmt.model.inside.knock_outs import knock_out_path as knock_out_path
from mmt.model.inside.places import places as places
from mmt.model.reading import Context as Context
