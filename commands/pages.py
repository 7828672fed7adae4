"""What --help says: what a script does, three examples, the flags that matter with their defaults in brackets.

A screen of 80 columns and 40 lines each. The tests hold the defaults against the settings themselves.
"""

MORE = """\
More
  --help-all             every flag, by what it is about
  --list-envs            what there is to learn from
  --list-methods [NAME]  methods; one with its equation, source and fields
  Flags of other programs (--lr, --total-timesteps, ...) are understood, or
  answered with the right one; numbers may be 1e6, 500k or 2M"""

RUN = f"""\
Run
  --run-dir PATH         the run's folder [runs/{{}}-METHOD-seedN-TIME]
  --resume RUN           go on exactly where a run stopped
  --branch-from RUN@STEP a new run from another's checkpoint
  --config FILE          settings from YAML, or from a RUN; flags win
  --device NAME          auto, cpu, cuda or cuda:N [auto]

{MORE}"""

SAC = f"""\
train_sac.py: soft actor-critic with SimBa networks on continuous actions, with
or without a method that restores plasticity. Without --preset: as published.

  python train_sac.py --env h1-walk --reinit fire --preset quick
  python train_sac.py --env HalfCheetah-v5 --action-repeat 1 --steps 1e6
  python train_sac.py --resume runs/RUN --steps 2M

What and how long
  --env NAME             environment [h1-walk]
  --preset NAME          paper, or quick: minutes on two cores [paper]
  --steps N              environment steps, such as 1e6 or 500k [1,000,000]
  --seed N               one seed is one result [0]
Plasticity
  --reinit METHOD        fire, reset, shrink-perturb, redo, ... [none]
  --reinit-every N       gradient updates between events [once, at half]
  --regularize NAME      l2-init, parseval, spectral, weight-decay [none]
Agent
  --learning-rate X      of actor, critic and temperature [0.0001]
  --batch-size N         transitions of a gradient update [256]
  --replay-ratio X       gradient updates per decision [2]
  --replay-capacity N    transitions that the replay holds [1,000,000]
  --learning-starts N    random decisions before the first update [5,000]
  --action-repeat N      environment steps of a decision [2]
{RUN.format("ENV")}"""

DQN = f"""\
train_dqn.py: DQN on Atari, MinAtar or any task with countable actions, with or
without a method that restores plasticity. Without --preset: as published.

  python train_dqn.py --env Breakout --reinit fire
  python train_dqn.py --preset quick --reinit fire        MinAtar, minutes
  python train_dqn.py --env CartPole-v1 --preset quick --steps 50k

What and how long
  --env NAME             environment [Breakout]
  --preset NAME          standard, paper, atari100k or quick [standard]
  --steps N              environment steps, such as 1e6 or 500k [2,500,000]
  --seed N               one seed is one result [0]
Plasticity
  --reinit METHOD        fire, reset, shrink-perturb, redo, ... [none]
  --reinit-every N       gradient updates between events [once, at half]
  --regularize NAME      l2-init, parseval, spectral, weight-decay [none]
Agent
  --learning-rate X      Adam's [6.25e-05]
  --batch-size N         transitions of a gradient update [32]
  --replay-ratio X       gradient updates per decision and environment [1]
  --target-every N       gradient updates from target to target [2,000]
  --final-exploration X  probability of a random action, later [0.01]
  --num-envs N           environments stepped together [4]
{RUN.format("ENV")}"""

VISION = f"""\
train_vision.py: a network on images that come in phases (a warm start, ever
more images, ever more classes), with or without a method against its ageing.

  python train_vision.py --preset quick --reinit fire     a minute, no download
  python train_vision.py --data cifar100 --data-dir PATH --network vit-tiny
  python train_vision.py --task class-incremental --data cifar100

What and how long
  --data NAME            images [cifar10]
  --data-dir PATH        the folder with their files, unpacked
  --task NAME            warm-start, continual, class-incremental [warm-start]
  --preset NAME          paper, or quick: on images at hand [paper]
  --epochs N             of each phase but a warm start's first [100]
  --seed N               one seed is one result [0]
Plasticity
  --reinit METHOD        fire, reset, shrink-perturb, dash, ... [none]
  --reinit-every N       updates between events [where phases begin]
  --regularize NAME      l2-init, parseval, spectral, weight-decay [none]
Learner
  --network NAME         resnet18, vit-tiny, vgg16, small [auto]
  --optimizer NAME       adam or muon [adam]
  --learning-rate X      once it has risen [0.001]
  --batch-size N         images of an update [256]
{RUN.format("DATA")}"""

LANGUAGE = f"""\
train_language.py: a GPT on texts that come in phases, one text and then a
mixture with the next, with or without a method against its ageing.

  python train_language.py --preset quick --reinit fire   minutes, no download
  python train_language.py --data-dir PATH --at-once 12   as published: GPUs
  python train_language.py --data FIRST+SECOND --data-dir PATH

What and how long
  --data NAME            texts [wikitext-openwebtext]
  --data-dir PATH        their token files, which fire_rl.data.prepare makes
  --preset NAME          paper, or quick: on texts at hand [paper]
  --phase-updates N ...  gradient updates of each phase [96,000 18,623]
  --seed N               one seed is one result [0]
Plasticity
  --reinit METHOD        fire, reset, shrink-perturb, ... [none]
  --reinit-every N       updates between events [where phases begin]
  --regularize NAME      l2-init, parseval, spectral, weight-decay [none]
Learner
  --network NAME         gpt-0.1b, gpt-10m, gpt-small [gpt-0.1b]
  --learning-rate X      the highest of a phase [0.0006]
  --batch-size N         sequences of an update [480]
  --at-once N            sequences in memory at once [all]
{RUN.format("DATA")}"""

COMPARE = """\
compare.py: every method, seed and environment as a run of its own, and one
report of what the curves say. The same command goes on where it was stopped.

  python compare.py --agent sac --env h1-walk --reinit none fire --seeds 0-4
  python compare.py --agent dqn --preset quick --reinit none redo:tau=0.1 fire
  python compare.py --report-only runs/compare-sac-h1-walk

What is compared
  --agent NAME           sac, dqn, vision or language [sac]
  --env NAME ...         environments or data sets [the preset's]
  --reinit METHOD ...    [none reset shrink-perturb fire]
  --seeds N-M            a range, or a list [0-4]
  --branch-at X          share of the steps methods have in common, or phase
  --FLAG A B ...         several values of a training script's flag: an axis
Where
  --dir PATH             folder [runs/compare-AGENT-ENV]
  --jobs N               runs at once [as many as fit]
  --threads N            CPU threads of each run [1]
  --ray HOST:PORT        on a Ray cluster
  --dry-run              show the runs and what they cost; do nothing
Report
  --baseline METHOD      what others are compared with [none]
  --threshold X          return to reach, success or baseline [success]
  --report-only PATH ... run nothing: report on these runs

More
  --help-all             every flag; those of the training scripts go to all
  --config FILE          settings from YAML, or from a RUN; flags win
  --list-envs            with --agent: what there is to learn from
  --list-methods [NAME]  methods; one with its equation, source and fields
  Flags of other programs (--algo, --n-jobs, ...) are understood, or answered
  with the right one; numbers may be 1e6, 500k or 2M"""

EVALUATE = """\
evaluate.py: a checkpoint's policy in episodes with starts of their own,
acting as in the run's evaluations; mean return and spread.

  python evaluate.py runs/RUN                   the newest checkpoint
  python evaluate.py runs/RUN@500000            the one at a step
  python evaluate.py runs/RUN --steps 125k      as DQN is published

  --episodes N           episodes [100]
  --seed N               of the episodes' starts [1,000]
  --steps N              environment steps in all instead of episodes
  --trust RUN            import the Python code that the run's config names"""

DIAGNOSE = """\
diagnose.py: measures whether a run's networks still learn, on copies and
beside fresh networks, and which method restores that. The run is not changed.

  python diagnose.py runs/RUN                   the newest checkpoint
  python diagnose.py runs/RUN@500000 --remedies fire redo dash
  python diagnose.py runs/RUN --all --remedies none

It prints a verdict and the command that acts on it, and writes
diagnosis.html and diagnosis.json into the run's folder.

  --remedies METHOD ...  tried on copies; none: only probe
                         [fire reset shrink-perturb reset-head]
  --all                  every checkpoint, each into its own folder
  --updates N            gradient updates of a probe [200]
  --rates X ...          learning rates of the probes [0.0003 0.001 0.003]
  --seeds N              probe seeds, 3 to 11 [5]
  --episodes N           for the return of each remedy; 0: none [5]
  --recovery N           updates of the agent's own training after it [500]
  --threads N            CPU threads [1]
  --out PATH             folder to write to [the run's]
  --trust RUN            import the Python code that the run's config names"""

WATCH = """\
watch.py: a film of an episode, MP4 and GIF, of a checkpoint's policy or of
random actions.

  python watch.py runs/RUN                      the newest checkpoint
  python watch.py runs/RUN@500000 --choose best --episodes 10
  python watch.py h1-walk                       random actions

  --episodes N           episodes to choose from [1]
  --choose NAME          best or median of them, by return [median]
  --seed N               of the episodes' starts [1,000]
  --steps N              environment steps filmed at most [the episode]
  --output FILE          ending in .mp4 or .gif; without, both
  --trust RUN            import the Python code that the run's config names"""

SLIM = """\
slim.py: free the disk space of finished runs. Their replay and older
checkpoints go; policies, metrics and records stay.

  python slim.py runs/RUN                       one run
  python slim.py runs                           every finished run below
  python slim.py runs --dry-run                 say which, and do nothing

  --dry-run              say which runs would be made smaller [False]"""

EXPORT = """\
export.py: a policy of SAC or DQN as a file that runs without this
project, or as a card: a folder that is ready for a model hub.

  python export.py runs/RUN                     runs/RUN/policy-STEP.onnx
  python export.py runs/RUN@500000 --format onnx torchscript --output walk
  python export.py runs/RUN --card --output walk-card

  --format NAME ...      onnx, torchscript, safetensors [onnx]
  --card                 weights, settings, curve and a README in a folder
  --output PATH          file, or with --card the folder [in the run's]
  --overwrite            replace what is there under that name
  --episodes N           that a card's score is measured on [100]
  --seed N               of these episodes' starts [1,000]
  --trust RUN            import the Python code that the run's config names"""

PAGES = {
    "sac": SAC,
    "dqn": DQN,
    "vision": VISION,
    "language": LANGUAGE,
    "compare": COMPARE,
    "evaluate": EVALUATE,
    "diagnose": DIAGNOSE,
    "watch": WATCH,
    "export": EXPORT,
    "slim": SLIM,
}
