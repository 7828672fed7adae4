"""Writes the plan of a comparison as a script: for a shell, or for SLURM's `sbatch`.

The script contains two command lines for every run, one that begins it and one that resumes it, so that running the
script again continues the runs that were stopped.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from fire_rl.place import launch, recorded
from fire_rl.training.divergence import DIVERGED

from .grid import Job

Format = Literal["text", "shell", "slurm"]
TASKS = """
# One run per line: its folder | the arguments that begin it | the arguments that resume it.
tasks=(
{tasks}
)

run() {{ # NUMBER: begin this run, or resume it if its folder already holds a run
  local folder begin resume
  IFS='|' read -r folder begin resume <<<"${{tasks[$1]}}"
  if [ -e "$folder/config.json" ]; then begin=$resume; fi
  eval "exec $command $begin"
}}
"""
SHELL = """#!/usr/bin/env bash
# {title}
# {count} runs, one after the other. If a run fails, its branches are left out and the others go on.
# Run this script again to continue. Each run's output is in the folder logs of the comparison.
# The exit code is 1 if a run failed. A run that diverged has a result.
cd {here} || exit 1
command={command}
logs={folder}/logs
{plan} || exit # refuses other settings than those of the folder's runs
mkdir -p "$logs"
{tasks}
declare -A trunk_of=({trunks})
failed=()
lost=0
for number in "${{!tasks[@]}}"; do
  name=$(basename "${{tasks[$number]%%|*}}")
  case " ${{failed[*]}} " in *" ${{trunk_of[$number]:-none}} "*) continue ;; esac
  echo "$name"
  (run "$number") >>"$logs/$name.log" 2>&1 || {{
    code=$?
    [ "$code" != 130 ] || exit 130 # Ctrl-C
    echo "$name ended with exit code $code: see $logs/$name.log" >&2
    failed+=("$number")
    [ "$code" = {diverged} ] || lost=1
  }}
done
{report} || exit
exit $lost
"""
SLURM = """#!/usr/bin/env bash
# {title}
# {count} runs as SLURM job arrays. Run this script in any folder; its arguments are passed on to sbatch:
#   bash FILE --partition=gpu --gres=gpu:1 --time=12:00:00
# Trunks run first; the branches of a trunk run when it has finished, and are cancelled if it fails.
# The report is made when all runs have ended.
# A run that reaches its time limit writes a checkpoint and is queued again. Run the script again to retry failed runs.
file=$(realpath "${{BASH_SOURCE[0]}}")
cd {here} || exit 1
command={command}
{tasks}
case ${{1:-}} in
task) # one run, counted from its array's first one
  # SLURM sends USR1 two minutes before the time limit, and TERM if the job is cancelled.
  (run $(($2 + SLURM_ARRAY_TASK_ID))) &
  child=$! again=
  trap 'again=1; kill -TERM $child' USR1
  trap 'kill -TERM $child' TERM
  while :; do
    wait $child
    code=$?
    kill -0 $child 2>/dev/null || break
  done
  [ "$again" ] && [ "$code" -ge 128 ] || exit "$code" # 130: the run stopped with a checkpoint
  exec scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" ;;
report) exec {report} ;;
esac

set -o pipefail
submit() {{ # NAME, ROLE, the number of the first run, then arguments for sbatch; prints the number of the job
  sbatch --parsable --job-name="$1" --output={logs}/%x-%j.out --requeue --signal=B:USR1@120 \\
    --kill-on-invalid-dep=yes --cpus-per-task={threads} --mem={megabytes}M "${{@:4}}" "${{given[@]}}" \\
    "$file" "$2" "$3" | cut -d';' -f1
}}

given=("$@")
{plan} || exit # refuses other settings than those of the folder's runs
mkdir -p {folder}/logs || exit 1
all=()
{submissions}
submit report report 0 --dependency="afterany$(printf ':%s' "${{all[@]}}")"
"""
MOST_TASKS = 1_000  # in a job array: SLURM's default MaxArraySize is 1001


def script_of(
    jobs: Sequence[Job], style: Format, folder: Path, threads: int, memory: float, arguments: Sequence[str],
    reporting: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return the script. `arguments` are those of compare.py; `reporting` are those for the report."""
    numbers = {job.folder: number for number, job in enumerate(jobs)}
    report = shlex.join([*launch("compare"), "--report-only", str(folder), "--dir", str(folder), *reporting])
    values: dict[str, object] = {
        "title": recorded("compare", *arguments).replace("\n", " "),
        "count": len(jobs),
        "here": shlex.quote(str(Path.cwd())),
        "folder": shlex.quote(str(folder)),
        "logs": shlex.quote(str(folder / "logs").replace("%", "%%")),  # sbatch replaces patterns that begin with %
        "command": shlex.quote(shlex.join(launch(jobs[0].agent))),
        "tasks": TASKS.format(tasks="\n".join(f"  {shlex.quote(_task(job))}" for job in jobs)),
        "plan": shlex.join([*launch("compare"), *arguments, "--write-plan"]),
        "report": report,
        "diverged": DIVERGED,
    }
    if style == "shell":
        values["trunks"] = " ".join(f"[{numbers[job.folder]}]={numbers[job.trunk]}" for job in jobs if job.trunk)
        return SHELL.format(**values)
    values |= {
        "threads": threads,
        "megabytes": round(memory / 1e6),
        "submissions": "\n".join(_submissions(jobs, numbers)),
    }
    return SLURM.format(**values)


def _task(job: Job) -> str:
    begin, resume = shlex.join(job.arguments), shlex.join(("--resume", str(job.folder), *job.resumed_with))
    if "|" in f"{job.folder}{begin}{resume}" or "\n" in begin:
        raise ValueError(f"{job.folder}: a script allows no name with | or a line break; give another --dir")
    return f"{job.folder}|{begin}|{resume}"


def _submissions(jobs: Sequence[Job], numbers: Mapping[Path, int]) -> list[str]:
    """Return the lines that submit job arrays of all runs that are no branches, and arrays of each trunk's branches."""
    lines, task_of = [], dict[Path | None, str]()
    for first, tasks in enumerate(_arrays(numbers[job.folder] for job in jobs if not job.trunk)):
        lines.append(f"first{first}=$(submit runs task {tasks.start} --array=0-{len(tasks) - 1}) || exit 1")
        lines.append(f"all+=($first{first})")
        task_of |= {jobs[number].folder: f"${{first{first}}}_{number - tasks.start}" for number in tasks}
    for trunk in dict.fromkeys(job.trunk for job in jobs if job.trunk):
        for tasks in _arrays(numbers[job.folder] for job in jobs if job.trunk == trunk):
            array = f"--array=0-{len(tasks) - 1} --dependency=afterok:{task_of[trunk]}"
            lines += [f"next=$(submit branches task {tasks.start} {array}) || exit 1", "all+=($next)"]
    return lines


def _arrays(numbers: Iterable[int]) -> list[range]:
    """Return the numbers of runs as ranges of numbers in succession, none longer than a job array may be.

    The tasks of each array are counted from 0, because SLURM limits the highest number, too.
    """
    found: list[range] = []
    for number in numbers:
        if found and number == found[-1].stop and len(found[-1]) < MOST_TASKS:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found
