"""People who sign in, and how."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from core.models.base import Base, Choice, LimitedText, created, index, key, reference, updated


class Role(StrEnum):
    """What a person may do in the app."""

    ADMIN = "admin"
    TRADER = "trader"
    VIEWER = "viewer"


class User(Base):
    """People who may sign in."""

    __tablename__ = "usr_users"

    id: Mapped[int] = key()
    email: Mapped[str] = mapped_column(LimitedText(320), comment="Stored in lower case")
    password_hash: Mapped[str | None] = mapped_column(
        info={"secret": True}, comment="Empty for people who sign in through another provider"
    )
    role: Mapped[Role] = mapped_column(Choice(Role), server_default=Role.VIEWER)
    is_active: Mapped[bool] = mapped_column(server_default=true())
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()
    last_login: Mapped[datetime | None]

    identities: Mapped[list[AuthIdentity]] = relationship(back_populates="user", lazy="raise", passive_deletes=True)

    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_lower"),
        index("email", name="ix_users_email", unique=True),
    )

    @validates("email")
    def _lower_case(self, name: str, email: str | None) -> str | None:
        return email.lower() if email else email


class AuthIdentity(Base):
    """How a person signs in through another provider."""

    __tablename__ = "usr_auth_identities"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "cascade")
    provider: Mapped[str] = mapped_column(LimitedText(50))
    external_id: Mapped[str] = mapped_column(LimitedText(255), comment="The person's identifier at the provider")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'"))
    created_at: Mapped[datetime] = created()

    user: Mapped[User] = relationship(back_populates="identities", lazy="raise")

    __table_args__ = (index("provider", "external_id", name="ix_auth_identities_provider_external", unique=True),)


class VerificationCode(Base):
    """Codes that were sent to a person to prove an address."""

    __tablename__ = "usr_verification_codes"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "cascade")
    code: Mapped[str] = mapped_column(info={"secret": True}, comment="A hash of the code, never the code")
    sent_time: Mapped[int] = mapped_column(BigInteger, comment="Unix time in seconds")
    provider: Mapped[str] = mapped_column(LimitedText(50))
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("user_id", name="ix_verification_codes_user_id"),)
