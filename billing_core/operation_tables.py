"""Every operation that the billing core brings, trade by trade. Rule: one line for each trade."""

from billing_core import account_operations, tariff_operations
from billing_core.account_desk import Counter
from billing_core.office import Office
from billing_core.residents import Residents
from scada.operations import Operation


def tables(office: Office, residents: Residents) -> list[Operation]:
    """Return the operations of every trade."""
    counter = Counter(office, residents)
    acts = account_operations.AccountOperations(counter)
    return [*account_operations.operations(acts), *tariff_operations.operations(office)]
