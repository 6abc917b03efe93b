"""Every operation that the billing core brings, trade by trade. Rule: one line for each trade."""

from billing_core import account_operations, meter_operations, tariff_operations, tenant_operations
from billing_core.account_desk import Counter
from billing_core.leaving_desk import Leavings, Statements
from billing_core.office import Office
from billing_core.residents import Residents
from billing_core.tenancy_desk import Lives
from scada.operations import Operation


def tables(office: Office, residents: Residents, statements: Statements | None = None) -> list[Operation]:
    """Return the operations of every trade."""
    counter = Counter(office, residents)
    acts = account_operations.AccountOperations(counter)
    lives = Lives(counter)
    tenants = tenant_operations.TenantOperations(lives, Leavings(lives, statements), acts)
    return [
        *account_operations.operations(acts),
        *tenant_operations.operations(tenants),
        *tariff_operations.operations(office),
        *meter_operations.operations(office),
    ]
