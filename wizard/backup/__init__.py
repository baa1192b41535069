"""Backups: everything a home keeps, in one file under a passphrase, and back again.

The file needs no key of this machine. What is restored is taken as it was, and believed only when
it was proved again. A backup that *moves* retires the home it was made in: two homes that tend one
grant would spend its limits twice, and each would think itself right.
"""

import platform
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from wizard.backup import file
from wizard.backup.document import Backup, dump, load
from wizard.backup.rescue import ReadBack, read_back, set_aside
from wizard.broker import LOCK_DEADLINE
from wizard.broker.lock import held
from wizard.cache import Cache
from wizard.errors import fail
from wizard.home import Home, user
from wizard.model import Client, Clock, Event, Grant, GrantState
from wizard.store import LIVING, Belongings, Store, Twin
from wizard.vault.passphrase import lock, unlock
from wizard.zoho import Zoho

__all__ = ["Backup", "Backups", "ReadBack", "TakenIn", "open_backup", "read_back", "set_aside"]

SHORTEST_PASSPHRASE = 12
"""Characters: the file may be copied anywhere and guessed at for years."""


@dataclass(frozen=True)
class TakenIn:
    """What a restore stored."""

    connections: tuple[str, ...]
    already: tuple[str, ...]
    """Connections that were here already, with the very same grant."""
    clients: tuple[str, ...]


def open_backup(path: Path, passphrase: str, mark: str) -> Backup:
    """Read and decrypt a backup; nothing else happens.

    Raises ``backup-unreadable``, ``backup-not-one``, ``backup-cut-short``, ``backup-damaged``,
    ``wrong-passphrase``, ``backup-newer-version``, or ``backup-foreign-zoho`` where its grants
    belong to another Zoho than `mark`.
    """
    backup = load(unlock(file.read(path), passphrase))
    if backup.mark != mark:
        raise fail("backup-foreign-zoho", found=backup.mark, expected=mark)
    return backup


class Backups:
    """Writes the backups of one home, and takes others in."""

    def __init__(self, store: Store, cache: Cache, zoho: Zoho, home: Home, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._zoho = zoho
        self._home = home
        self._clock = clock

    def write(self, path: Path, passphrase: str, *, move: bool = False) -> Backup:
        """Write everything to `path` and read it back. `move` retires this home: it asks nothing
        of Zoho any more until the file is restored here.

        Raises ``passphrase-too-short``, ``backup-file-taken``, ``backup-unwritable``; nothing is
        changed then.
        """
        if len(passphrase) < SHORTEST_PASSPHRASE:
            raise fail("passphrase-too-short", least=str(SHORTEST_PASSPHRASE))
        before = self._store.retired_at()
        if move:
            # First, so that nothing changes after it was copied.
            self._store.retire(before or self._clock())
        try:
            backup = self._written(path, passphrase)
        except BaseException:
            self._store.retire(before)
            raise
        self._store.note_backup(backup.made_at)
        if move:
            for connection in backup.belongings.connections:
                self._forget_access_token(connection.name)
        return backup

    def take_in(
        self, backup: Backup, only: Collection[str] = (), *, alone: bool = False
    ) -> TakenIn:
        """Store what is in a backup, or of it the connections in `only`, as unverified.

        Where the home it was made in may go on, that is remembered, unless the person says that
        it does not (`alone`). A home that was moved elsewhere works again after it.

        Raises ``not-in-backup``, ``restore-name-taken``, ``home-retired`` where a moved home shall
        take back only a part; nothing is changed then.
        """
        retired_at = self._store.retired_at()
        if retired_at and only:
            raise fail("home-retired", since=f"{retired_at:%Y-%m-%d}")
        chosen = _chosen(backup.belongings, only)
        here = {each.name.lower(): each.name for each in self._store.connections()}
        already = tuple(
            name for name in _names(chosen) if self._is_here(name, here.get(name.lower()), chosen)
        )
        missing = _without(chosen, already)
        twins = () if alone else self._twins(backup, chosen if retired_at else missing)
        unverified = tuple(map(_unverified, missing.grants))
        self._store.take_in(replace(missing, grants=unverified), twins)
        self._store.retire(None)
        if alone or backup.retired:
            self._store.forget_twins({*_names(chosen)} - {each.connection for each in twins})
        for name in _names(missing):
            made = f"{backup.made_at:%Y-%m-%d}"
            self._store.note(Event(self._clock(), name, "restored", {"made": made}))
        return TakenIn(_names(missing), already, tuple(each.name for each in chosen.clients))

    def _written(self, path: Path, passphrase: str) -> Backup:
        everything = self._store.belongings()
        current = {each.name: each.generation for each in everything.connections}
        grants = tuple(
            each
            for each in everything.grants
            if each.state in LIVING or each.generation == current[each.connection]
        )
        kept = replace(everything, grants=grants)
        made_in, retired = self._home.data_dir, self._store.retired_at() is not None
        backup = Backup(self._clock(), _here(), self._zoho.mark, kept, made_in, retired)
        file.write(path, lock(dump(backup), passphrase))
        open_backup(path, passphrase, self._zoho.mark)
        return backup

    def _twins(self, backup: Backup, taken: Belongings) -> tuple[Twin, ...]:
        """Those of `taken` whose grants another home may tend, too: the one that the backup was
        made in, unless that was retired. Of a backup made here, wherever else it was restored
        while this home was retired."""
        here = (backup.made_on, backup.made_in) == (_here(), self._home.data_dir)
        if (backup.retired and not here) or (here and not self._store.retired_at()):
            return ()
        made_on = "" if here else backup.made_on
        return tuple(
            Twin(each.name, each.generation, made_on, backup.made_at)
            for each in taken.connections
            if each.generation
        )

    def _forget_access_token(self, name: str) -> None:
        with held(self._home.lock_file(name), LOCK_DEADLINE, "refresh-under-way", name):
            self._cache.drop(name)

    def _is_here(self, name: str, here: str | None, chosen: Belongings) -> bool:
        """Whether the connection, which goes by the name `here` in this home, is here with the
        same grant; raises ``restore-name-taken`` where it is here with another."""
        if here is None:
            return False
        own = self._store.grants(here)
        theirs = [grant for grant in chosen.grants if grant.connection == name]
        if all(any(_same(each, mine) for mine in own) for each in theirs):
            return True
        raise fail("restore-name-taken", name=name)


def _same(kept: Grant, mine: Grant) -> bool:
    """Whether a grant of a backup is `mine`, whose refresh token may have been replaced since."""
    if mine.rotated_at is None:
        return kept.refresh_token == mine.refresh_token
    return (kept.client_id, kept.granted_at) == (mine.client_id, mine.granted_at)


def _here() -> str:
    return f"{user()} on {platform.node()}"


def _chosen(belongings: Belongings, only: Collection[str]) -> Belongings:
    known = _names(belongings)
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise fail("not-in-backup", names=", ".join(unknown), known=", ".join(known))
    return (
        _without(belongings, [name for name in known if name not in only]) if only else belongings
    )


def _without(belongings: Belongings, names: Collection[str]) -> Belongings:
    """The belongings without some connections, and without clients that only these had."""
    connections = tuple(each for each in belongings.connections if each.name not in names)
    left = {each.client_id for each in belongings.connections} - {
        each.client_id for each in connections
    }

    def has_left(client: Client) -> bool:
        return client.client_id in left

    return Belongings(
        tuple(each for each in belongings.clients if not has_left(each)),
        connections,
        tuple(each for each in belongings.grants if each.connection not in names),
        tuple(each for each in belongings.destinations if each.connection not in names),
    )


def _names(belongings: Belongings) -> tuple[str, ...]:
    return tuple(each.name for each in belongings.connections)


def _unverified(grant: Grant) -> Grant:
    return replace(grant, state=GrantState.UNPROVED) if grant.state is GrantState.PROVED else grant
