"""`backstay guard sign-release`: a signature on the files of a finished run, for guards that serve nothing else."""

from pathlib import Path

import click

from backstay.cli.session import Session, shared_options


@click.command(name="sign-release")
@click.argument("run")
@click.option(
    "--key-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the signing key, made on first use. [default: the keys of the project]",
)
@click.option(
    "--valid-days",
    type=click.FloatRange(0, 3650, min_open=True),
    default=90.0,
    show_default=True,
    help="Expire after so many days.",
)
@shared_options
def sign_release(session: Session, run: str, key_dir: Path | None, valid_days: float) -> None:
    """Sign what the policy of RUN is made of: adapters, manifests and base model, by hash.

    Writes release.json beside the manifest. Exit 3 when a gate said no, 4 when the run is not what its manifest says.

    RUN is a finished run of sft, ppo or dpo: a folder, the beginning of a run's name, or a stage.
    """
    from backstay.pipeline.release import release_run
    from backstay.pipeline.runs import resolve_run
    from backstay.storage.keys import public_keys, signing_key
    from backstay.storage.release import RELEASE, open_release

    found = resolve_run(session.project, run)
    keys = key_dir or session.project.keys
    release_run(found, signing_key(keys), valid_days=valid_days)
    signed = open_release(found.path, public_keys(keys))
    told = signed.release.model_dump(mode="json")
    if session.as_json:
        session.emit({"output": str(found.path / RELEASE), "digest": signed.digest, "files": len(signed.files), **told})
        return
    session.say(str(found.path / RELEASE))
    session.say(f"{len(signed.files)} files, {len(signed.release.gates)} gates passed; expires {told['expires_at']}")
    session.say(f"release {signed.digest[:16]}, signed with the key {signed.release.key[:16]}")
