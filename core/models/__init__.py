"""The 36 tables, one module an area."""

from core.models import accounts, bots, jobs, market, messaging, rollups, trading, webui
from core.models.accounts import AuthIdentity, Role, User, VerificationCode
from core.models.base import Base
from core.models.bots import (
    BotPositionStatus,
    BotStatus,
    BotType,
    RoundTripStatus,
    TradingBot,
    TradingPerformanceMetric,
    TradingPosition,
    TradingTrade,
)
from core.models.jobs import JobSchedule, JobScheduleRun, JobType, RunStatus
from core.models.market import AccountState, Candle, EventSeverity, SystemEvent, Timeframe
from core.models.messaging import (
    ChannelConfig,
    DeliveryStatus,
    FeedbackStatus,
    FeedbackType,
    HealthStatus,
    Message,
    MessageDelivery,
    MessagePriority,
    MessageStatus,
    RateLimit,
    SystemHealth,
    TelegramBroadcastLog,
    TelegramCommandAudit,
    TelegramFeedback,
    TelegramSetting,
)
from core.models.rollups import RollupLevel, TradingRollup, TradingRollupMark
from core.models.trading import (
    ActionStatus,
    AgentAction,
    AgentDecision,
    Alert,
    AlertSeverity,
    PerformanceMetric,
    Portfolio,
    PortfolioSnapshot,
    Position,
    PositionStatus,
    Side,
    Signal,
    SignalDirection,
    Trade,
    TradeAction,
    TradeStatus,
)
from core.models.webui import AuditLog, PerformanceSnapshot, StrategyTemplate, SystemConfig

AREAS: dict[str, list[str]] = {
    module.__name__.rpartition(".")[2]: [
        model.__tablename__
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, Base) and model.__module__ == module.__name__
    ]
    for module in (accounts, trading, market, bots, jobs, messaging, webui, rollups)
}
"""Area -> its tables, in the order of their definition."""

__all__ = [
    "AREAS",
    "AccountState",
    "ActionStatus",
    "AgentAction",
    "AgentDecision",
    "Alert",
    "AlertSeverity",
    "AuditLog",
    "AuthIdentity",
    "Base",
    "BotPositionStatus",
    "BotStatus",
    "BotType",
    "Candle",
    "ChannelConfig",
    "DeliveryStatus",
    "EventSeverity",
    "FeedbackStatus",
    "FeedbackType",
    "HealthStatus",
    "JobSchedule",
    "JobScheduleRun",
    "JobType",
    "Message",
    "MessageDelivery",
    "MessagePriority",
    "MessageStatus",
    "PerformanceMetric",
    "PerformanceSnapshot",
    "Portfolio",
    "PortfolioSnapshot",
    "Position",
    "PositionStatus",
    "RateLimit",
    "Role",
    "RollupLevel",
    "RoundTripStatus",
    "RunStatus",
    "Side",
    "Signal",
    "SignalDirection",
    "StrategyTemplate",
    "SystemConfig",
    "SystemEvent",
    "SystemHealth",
    "TelegramBroadcastLog",
    "TelegramCommandAudit",
    "TelegramFeedback",
    "TelegramSetting",
    "Timeframe",
    "Trade",
    "TradeAction",
    "TradeStatus",
    "TradingBot",
    "TradingPerformanceMetric",
    "TradingPosition",
    "TradingRollup",
    "TradingRollupMark",
    "TradingTrade",
    "User",
    "VerificationCode",
]
