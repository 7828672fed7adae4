"""The pages of --help: what a script does, three examples, and the main flags with their defaults in brackets.

Each page has at most 80 columns and 40 lines. Tests compare the defaults with those of the settings. A page is shown at
once, without importing torch or any other slow package.
"""

import contextlib
import os
import sys
from typing import NoReturn

from fire_rl.place import called, program, script

MORE = """\
More
  --help-all             every flag, by topic
  --list-envs            the environments or data sets that can be named
  --list-methods [NAME]  all methods; of one: equation, source and fields
  Common flags of other programs (--lr, --total-timesteps, ...) also work, or
  the right flag is named; numbers may be written 1e6, 500k or 2M"""

RUN = f"""\
Run
  --run-dir PATH         the run's folder [runs/{{}}-METHOD-seedN-TIME]
  --resume RUN           continue a run exactly where it stopped
  --branch-from RUN@STEP begin a new run from a checkpoint of another run
  --config FILE          settings from a YAML file or a RUN; flags override it
  --device NAME          auto, cpu, cuda or cuda:N [auto]

{MORE}"""

PLASTICITY = """\
  --seed N               one seed is one result [0]
Plasticity
  --reinit METHOD        {} [none]
  --reinit-every N       {}
  --regularize NAME      l2-init, parseval, spectral, weight-decay [none]"""
ONCE, BETWEEN = "gradient updates between events [once, at half]", "updates between events [where phases begin]"

SAC = f"""\
train_sac.py: soft actor-critic with SimBa networks on continuous actions, with
or without a method that restores plasticity. Default settings: as published.

  python train_sac.py --env h1-walk --reinit fire --preset quick
  python train_sac.py --env HalfCheetah-v5 --action-repeat 1 --steps 1e6
  python train_sac.py --resume runs/RUN --steps 2M

What and how long
  --env NAME             environment [h1-walk]
  --preset NAME          paper, or quick: minutes on two cores [paper]
  --steps N              environment steps, such as 1e6 or 500k [1,000,000]
{PLASTICITY.format("fire, reset, shrink-perturb, redo, ...", ONCE)}
Agent
  --learning-rate X      for actor, critic and temperature [0.0001]
  --batch-size N         transitions per gradient update [256]
  --replay-ratio X       gradient updates per decision [2]
  --replay-capacity N    transitions that the replay can hold [1,000,000]
  --learning-starts N    random decisions before the first update [5,000]
  --action-repeat N      environment steps per decision [2]
{RUN.format("ENV")}"""

DQN = f"""\
train_dqn.py: DQN on Atari, MinAtar or any task with discrete actions, with or
without a method that restores plasticity. Default settings: as published.

  python train_dqn.py --env Breakout --reinit fire
  python train_dqn.py --preset quick --reinit fire        MinAtar, minutes
  python train_dqn.py --env CartPole-v1 --preset quick --steps 50k

What and how long
  --env NAME             environment [Breakout]
  --preset NAME          standard, paper, atari100k or quick [standard]
  --steps N              environment steps, such as 1e6 or 500k [2,500,000]
{PLASTICITY.format("fire, reset, shrink-perturb, redo, ...", ONCE)}
Agent
  --learning-rate X      learning rate of Adam [6.25e-05]
  --batch-size N         transitions per gradient update [32]
  --replay-ratio X       gradient updates per decision and environment [1]
  --target-every N       gradient updates between target copies [2,000]
  --final-exploration X  final probability of a random action [0.01]
  --num-envs N           environments stepped together [4]
{RUN.format("ENV")}"""

VISION = f"""\
train_vision.py: a network on images that come in phases (a warm start, more and
more images or classes), with or without a method that restores plasticity.

  python train_vision.py --preset quick --reinit fire     a minute, no download
  python train_vision.py --data cifar100 --data-dir PATH --network vit-tiny
  python train_vision.py --task class-incremental --data cifar100

What and how long
  --data NAME            images [cifar10]
  --data-dir PATH        the folder with the unpacked files of the images
  --task NAME            warm-start, continual, class-incremental [warm-start]
  --preset NAME          paper, or quick: needs no download [paper]
  --epochs N             per phase, except a warm start's first [100]
{PLASTICITY.format("fire, reset, shrink-perturb, dash, ...", BETWEEN)}
Learner
  --network NAME         resnet18, vit-tiny, vgg16, small [auto]
  --optimizer NAME       adam or muon [adam]
  --learning-rate X      after the warm-up [0.001]
  --batch-size N         images per update [256]
{RUN.format("DATA")}"""

LANGUAGE = f"""\
train_language.py: a GPT on texts that come in phases, one text and then a
mixture with the next, with or without a method that restores plasticity.

  python train_language.py --preset quick --reinit fire   minutes, no download
  python train_language.py --data-dir PATH --at-once 12   as published: GPUs
  python train_language.py --data FIRST+SECOND --data-dir PATH

What and how long
  --data NAME            texts [wikitext-openwebtext]
  --data-dir PATH        folder of token files, made by fire_rl.data.prepare
  --preset NAME          paper, or quick: needs no download [paper]
  --phase-updates N ...  gradient updates of each phase [96,000 18,623]
{PLASTICITY.format("fire, reset, shrink-perturb, ...", BETWEEN)}
Learner
  --network NAME         gpt-0.1b, gpt-10m, gpt-small [gpt-0.1b]
  --learning-rate X      the highest in a phase [0.0006]
  --batch-size N         sequences per update [480]
  --at-once N            sequences in memory at once [all]
{RUN.format("DATA")}"""

COMPARE = """\
compare.py: one run for every method, seed and environment, and one report
on all of them. The same command continues a comparison that was stopped.

  python compare.py --agent sac --env h1-walk --reinit none fire --seeds 0-4
  python compare.py --agent dqn --preset quick --reinit none redo:tau=0.1 fire
  python compare.py --report-only runs/compare-sac-h1-walk

What is compared
  --agent NAME           sac, dqn, vision or language [sac]
  --env NAME ...         environments or data sets [the preset's]
  --reinit METHOD ...    [none reset shrink-perturb fire]
  --seeds N-M            a range, or a list [0-4]
  --branch-at X          share of the steps that the trunk has, or phase
  --FLAG A B ...         several values of a training script's flag: an axis
Where
  --dir PATH             folder [runs/compare-AGENT-ENV]
  --jobs N               runs at once [as many as fit]
  --threads N            CPU threads of each run [1]
  --ray HOST:PORT        on a Ray cluster
  --dry-run              show the runs and their cost; do nothing
Report
  --baseline METHOD      method that the others are compared with [none]
  --threshold X          return to reach, success or baseline [success]
  --report-only PATH ... run nothing: report on these runs

More
  --help-all             every flag; training flags apply to all runs
  --config FILE          settings from a YAML file or a RUN; flags override it
  --list-envs            with --agent: environments or data sets by name
  --list-methods [NAME]  all methods; of one: equation, source and fields
  Common flags of other programs (--algo, --n-jobs, ...) also work, or the
  right flag is named; numbers may be written 1e6, 500k or 2M"""

EVALUATE = """\
evaluate.py: mean and spread of the returns of a checkpoint's policy in new
episodes. The policy acts as in the run's own evaluations.

  python evaluate.py runs/RUN                   the newest checkpoint
  python evaluate.py runs/RUN@500000            the checkpoint at a step
  python evaluate.py runs/RUN --steps 125k      DQN's published protocol

  --episodes N           number of episodes [100]
  --seed N               seed of the episodes' starts [1,000]
  --steps N              environment steps in all, in place of episodes
  --trust RUN            import the Python code that the run's config names"""

DIAGNOSE = """\
diagnose.py: measures whether a run's networks can still learn, compared
with fresh networks, and which method restores that. It works on copies.

  python diagnose.py runs/RUN                   the newest checkpoint
  python diagnose.py runs/RUN@500000 --remedies fire redo dash
  python diagnose.py runs/RUN --all --remedies none

It prints a verdict and the command that acts on it, and writes
diagnosis.html and diagnosis.json into the run's folder.

  --remedies METHOD ...  methods to try on copies; none: only probe
                         [fire reset shrink-perturb reset-head]
  --all                  every checkpoint, each into its own folder
  --updates N            gradient updates of a probe [200]
  --rates X ...          learning rates of the probes [0.0003 0.001 0.003]
  --seeds N              probe seeds, 3 to 11 [5]
  --episodes N           to measure each remedy's return; 0: none [5]
  --recovery N           updates of normal training after each remedy [500]
  --threads N            CPU threads [1]
  --out PATH             folder to write to [the run's]
  --trust RUN            import the Python code that the run's config names"""

WATCH = """\
watch.py: film an episode as MP4 and GIF, with a checkpoint's policy or
with random actions.

  python watch.py runs/RUN                      the newest checkpoint
  python watch.py runs/RUN@500000 --choose best --episodes 10
  python watch.py h1-walk                       random actions

  --episodes N           episodes to choose from [1]
  --choose NAME          film the best or median one, by return [median]
  --seed N               seed of the episodes' starts [1,000]
  --steps N              environment steps to film at most [the episode]
  --output FILE          ending in .mp4 or .gif; without an ending: both
  --trust RUN            import the Python code that the run's config names"""

SLIM = """\
slim.py: free disk space of finished runs. Their replay and older
checkpoints are deleted; policies, metrics and records stay.

  python slim.py runs/RUN                       one run
  python slim.py runs                           every finished run below
  python slim.py runs --dry-run                 list them, and do nothing

Runs below a folder that have not finished are left as they are, and so
is a trunk until all planned branches of its comparison have a result.

  --dry-run              say what would be deleted, and its size [False]"""

EXPORT = """\
export.py: write a policy of SAC or DQN as a file that runs without this
project, or as a card: a folder that is ready for a model hub.

  python export.py runs/RUN                     runs/RUN/policy-STEP.onnx
  python export.py runs/RUN@500000 --format onnx torchscript --output walk
  python export.py runs/RUN --card --output walk-card

  --format NAME ...      onnx, torchscript, safetensors [onnx]
  --card                 weights, settings, curve and a README in a folder
  --output PATH          file, or with --card the folder [in the run's folder]
  --overwrite            replace an existing file or card of that name
  --episodes N           episodes for a card's score [100]
  --seed N               seed of these episodes' starts [1,000]
  --trust RUN            import the Python code that the run's config names"""

PAGES = {
    "sac": SAC, "dqn": DQN, "vision": VISION, "language": LANGUAGE, "compare": COMPARE, "evaluate": EVALUATE,
    "diagnose": DIAGNOSE, "watch": WATCH, "export": EXPORT, "slim": SLIM,
}  # fmt: skip


def page(name: str) -> str:
    """Return a command's page, with the command's name as it is typed in this installation."""
    return PAGES[name].replace(f"python {script(name)}", program(name)).replace(script(name), called(name))


def show_page(name: str) -> NoReturn:
    """Print the page and end the process with exit code 0, also if the reader closes the pipe early."""
    try:
        print(page(name))
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
