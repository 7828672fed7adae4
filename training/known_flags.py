"""Flags of other programs: what each is called here, or why no single flag here means the same.

`SAME` lists names that mean exactly the same as one of our flags, in the same unit. All other names are refused in one
line that says which flags to use, because a number that silently means something else is worse than a refusal.

The names are those of CleanRL, Stable-Baselines3 and its Zoo, Spinning Up, SimBa, TD3, REDQ, DrQ, SR-SAC, OpenAI
Baselines, Rainbow, Dopamine, ALE, Gymnasium, torchvision, Avalanche, Keras, nanoGPT and Hugging Face.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from fire_rl.place import TRAINING, called

RL, PHASED = ("sac", "dqn"), ("vision", "language")
TRAINED = (*RL, *PHASED)


class Same(NamedTuple):
    """Other names of one of our flags."""

    ours: str
    names: str  # separated by spaces
    commands: tuple[str, ...]  # the commands that accept these names
    zero: str = ""  # how to give what 0 means there, if 0 means something else here


class Other(NamedTuple):
    """Names for which there is no flag here, or several, or one in another unit; `answer` says what to use instead."""

    names: str
    commands: tuple[str, ...]
    answer: str | Callable[[str], str]


SAME = (
    Same("--steps", "--total-timesteps --timesteps --n-timesteps --num-timesteps --max-timesteps --total-steps "
         "--max-steps --total-env-steps --num-env-steps -n", RL),
    Same("--steps", "--max-iters --total-updates --num-updates --max-steps", PHASED),
    Same("--env", "--env-id --env-name --environment --gym-id --task --task-name", RL),
    Same("--env", "--game --rom", ("dqn",)),
    Same("--data", "--dataset --dataset-name --env --data-set", PHASED),
    Same("--data-dir", "--data-path --data-root --data-folder", PHASED),
    Same("--num-envs", "--n-envs --n-env --num-env --num-train-envs --nenvs", RL),
    Same("--learning-rate", "--lr --learning-rate-init", TRAINED),
    Same("--batch-size", "--batch --bs --minibatch-size --sample-batch-size -b", TRAINED),
    Same("--gamma", "--discount --discount-factor", RL),
    Same("--target-rate", "--tau --target-tau --critic-target-tau --soft-update-tau", ("sac",)),
    Same("--replay-capacity", "--buffer-size --buffer-capacity --buffer-max-length --replay-size --memory-size "
         "--memory-capacity --replay-buffer-size --replay-buffer-capacity", RL),
    Same("--replay-ratio", "--utd --utd-ratio --update-to-data-ratio --updates-per-step "
         "--updates-per-interaction-step", RL),
    Same("--learning-starts", "--start-timesteps --min-replay-history --learn-start", RL),
    Same("--initial-exploration", "--start-e --exploration-initial-eps --epsilon-start --eps-start", ("dqn",)),
    Same("--final-exploration", "--end-e --exploration-final-eps --epsilon-end --eps-end --epsilon-train", ("dqn",)),
    Same("--evaluation-exploration", "--epsilon-eval --eval-epsilon", ("dqn",)),
    Same("--n-steps", "--n-step --nstep --multi-step --update-horizon", ("dqn",)),
    Same("--double", "--double-q --double-dqn", ("dqn",)),
    Same("--hidden-width", "--hidden-size --hidden-dim", ("dqn",)),
    Same("--critic-width", "--critic-hidden-dim", ("sac",)),
    Same("--critic-blocks", "--critic-num-blocks", ("sac",)),
    Same("--actor-width", "--actor-hidden-dim", ("sac",)),
    Same("--actor-blocks", "--actor-num-blocks", ("sac",)),
    Same("--critics", "--n-critics --num-critics --num-qs", ("sac",)),
    Same("--initial-temperature", "--init-temperature --temp-initial-value --init-alpha", ("sac",)),
    Same("--target-entropy-scale", "--temp-target-entropy-coef", ("sac",)),
    Same("--epsilon", "--adam-eps --adam-epsilon --eps", ("sac",)),
    Same("--adam-epsilon", "--adam-eps", ("dqn", *PHASED)),
    Same("--weight-decay", "--wd", ("sac", "language")),
    Same("--largest-norm", "--max-grad-norm --grad-clip --clip-grad-norm --grad-clip-norm --gradient-clip-val", PHASED,
         "0 means no limit there, which is --largest-norm None here"),
    Same("--stack", "--frame-stack --stack-size --history-length --num-stack", ("dqn",)),
    Same("--frame-skip", "--frameskip", ("dqn",)),
    Same("--sticky", "--repeat-action-probability --sticky-action-prob", ("dqn",)),
    Same("--noop-max", "--max-noops --noops", ("dqn",)),
    Same("--terminal-on-life-loss", "--terminal-on-loss-of-life --terminal-on-life-lost --episodic-life", ("dqn",)),
    Same("--full-actions", "--full-action-space", ("dqn",)),
    Same("--clip-rewards", "--clip-reward --reward-clip --reward-clipping", ("dqn",)),
    Same("--eval-every", "--eval-freq --evaluation-interval --eval-frequency", RL),
    Same("--eval-every", "--eval-interval --eval-freq --eval-steps", PHASED),
    Same("--log-every", "--log-interval --logging-steps", PHASED),
    Same("--eval-episodes", "--n-eval-episodes --num-eval-episodes --evaluation-episodes", RL),
    Same("--checkpoint-every", "--save-freq --checkpoint-freq --checkpoint-interval --save-interval --save-every "
         "--save-steps", TRAINED),
    Same("--network", "--model --arch --model-name -a", PHASED),
    Same("--optimizer", "--opt --optim", ("vision",)),
    Same("--epochs", "--n-epochs --num-epochs --epochs-per-task", ("vision",)),
    Same("--phases", "--num-phases --num-tasks --n-tasks --nb-tasks", ("vision",)),
    Same("--holdout", "--val-split --validation-split", ("vision",)),
    Same("--context", "--block-size --context-length --seq-len --sequence-length", ("language",)),
    Same("--precision", "--dtype", PHASED),
    Same("--reinit", "--method", TRAINED),
    Same("--reinit-at", "--reset-at --reset-steps", RL),
    Same("--regularize", "--regularizer --regularizers --regularization", TRAINED),
    Same("--run-dir", "--out-dir --output-dir --output --out --save-dir --model-dir", TRAINED),
    Same("--threads", "--num-threads --torch-threads", (*TRAINED, "compare")),
    Same("--agent", "--algo --algorithm", ("compare",)),
    Same("--env", "--envs --env-ids --env-id --envs-id --environments --game --games --dataset --data", ("compare",)),
    Same("--reinit", "--methods --method", ("compare",)),
    Same("--jobs", "--workers --num-workers --n-jobs --num-jobs -j", ("compare",)),
    Same("--dir", "--out-dir --output-dir --run-dir --output --out --save-dir", ("compare",)),
    Same("--episodes", "--n-eval-episodes --eval-episodes --num-episodes --n-episodes --num-eval-episodes",
         ("evaluate", "watch")),
    Same("--steps", "--n-timesteps --total-timesteps --num-steps -n", ("evaluate", "watch")),
    Same("--steps", "--video-length", ("watch",)),
    Same("--output", "--out --output-file --output-folder --video-path -o", ("watch",)),
)  # fmt: skip


def _inverse(value: str) -> str:
    """Return the inverse of a number: `--train-freq 4` is `--replay-ratio 0.25`."""
    try:
        return f" {1 / float(value):g}" if float(value) > 0 else ""
    except (ValueError, OverflowError):
        return ""


def _complement(value: str) -> str:
    try:
        return f" {1 - float(value):g}"
    except ValueError:
        return ""


def _seeds(value: str) -> str:
    count = int(value) if re.fullmatch("[1-9][0-9]{0,3}", value) else 5
    return f" 0-{count - 1}"


PER_DECISION = "--replay-ratio is the number of gradient updates per decision and environment"
OTHERS = (
    Other("--policy-lr --q-lr --actor-lr --critic-lr --qf-lr --pi-lr --alpha-lr --actor-learning-rate "
          "--critic-learning-rate --temp-learning-rate --lr-actor --lr-critic", ("sac",),
          "actor, critic and temperature have one rate here: --learning-rate"),
    Other("--lr-schedule --lr-scheduler --lr-step-size --lr-gamma --anneal-lr --lr-decay-iters --decay-lr "
          "--lr-warmup-epochs --lr-warmup-method --warmup-iters --warmup-epochs --warmup-steps --warmup-ratio", PHASED,
          "the learning rate rises in each phase for --warm-up, a share of the phase such as 0.1"),
    Other("--lr-schedule --lr-scheduler --anneal-lr", RL,
          "the learning rate stays the same: --learning-rate"),
    Other("--min-lr", ("language",),
          "--least-share is the same as a share of --learning-rate: 6e-5 of 6e-4 is --least-share 0.1"),
    Other("--tau", ("dqn",),
          "the target is copied whole (tau 1) every --target-every gradient updates"),
    Other("--polyak", ("sac",),
          lambda value: f"--target-rate is the share that moves, 1 - polyak: --target-rate{_complement(value)}"),
    Other("--target-network-frequency --target-update-interval --target-update-freq --target-update "
          "--target-update-period --target-update-every", ("dqn",),
          "it counts environment steps there; --target-every counts gradient updates: steps x --replay-ratio / "
          "--action-repeat"),
    Other("--target-network-frequency --target-update-interval --policy-frequency --policy-freq --policy-delay "
          "--actor-update-freq", ("sac",),
          "actor, critic and target move in every update; --target-rate says how far the target does"),
    Other("--train-freq --train-frequency --update-every --update-frequency --replay-frequency --update-period", RL,
          lambda value: f"{PER_DECISION}: one update in {value or 'N'} decisions is --replay-ratio{_inverse(value)}"),
    Other("--gradient-steps --num-updates --updates --grad-steps", RL,
          lambda value: f"{PER_DECISION}: gradient steps / (train freq x environments); with train freq 1 and one "
                        f"environment --replay-ratio {value}".rstrip()),
    Other("--start-steps --update-after --warmup-steps --random-steps --num-seed-steps --num-seed-frames "
          "--num-expl-steps", RL,
          "random actions and waiting for the first update end at once here: --learning-starts, in decisions"),
    Other("--exploration-fraction", ("dqn",),
          "--exploration-steps counts environment steps: the share times --steps; unset it is a tenth of them"),
    Other("--eps-decay --epsilon-decay --epsilon-decay-period --exploration-decay", ("dqn",),
          "it falls linearly from --initial-exploration to --final-exploration over --exploration-steps "
          "environment steps"),
    Other("--epsilon --eps --exploration", ("dqn",),
          "give --final-exploration (probability of a random action) or --adam-epsilon"),
    Other("--alpha --ent-coef --entropy-coef --autotune --automatic-entropy-tuning --learn-alpha", ("sac",),
          "the entropy temperature is always learned: --initial-temperature says where it starts"),
    Other("--target-entropy", ("sac",),
          "--target-entropy-scale is a multiple of the action's dimensions: -0.5 as published, -1 in CleanRL and SB3"),
    Other("--hidden-size --hidden-dim --hidden-sizes --net-arch --layers --width --depth --policy-kwargs",
          ("sac",), "actor and critic are SimBa networks of different sizes: --critic-width, --critic-blocks, "
                    "--actor-width, --actor-blocks"),
    Other("--hidden-sizes --net-arch --layers --width --policy-kwargs", ("dqn",),
          "--network names the architecture, --hidden-width its linear layers' units"),
    Other("--n-layer --n-head --n-embd --n-layers --n-heads --d-model --hidden-dim --hidden-size",
          ("language",), "--network names a size as a whole"),
    Other("--width --depth --hidden-dim --hidden-size", ("vision",), "--network names the architecture"),
    Other("--weight-decay --wd --l2", ("dqn", "vision"),
          lambda value: f"give --regularize weight-decay{f':strength={value}' if value else ''}"),
    Other("--l2 --l2-init", ("sac", "language"), "give --weight-decay, or --regularize l2-init"),
    Other("--actor-weight-decay --critic-weight-decay", ("sac",),
          "actor and critic have one: --weight-decay"),
    Other("--betas", TRAINED, "give --beta1 and --beta2"),
    Other("--momentum --nesterov", TRAINED, "there is no plain SGD here; Adam's is --beta1"),
    Other("--max-grad-norm --grad-clip --clip-grad-norm --grad-clip-norm", RL,
          "gradients are not clipped, as published"),
    Other("--label-smoothing --dropout --mixup-alpha --cutmix-alpha --ema --model-ema", PHASED,
          "there is none here, as published"),
    Other("--auto-augment --random-erase --train-crop-size --hflip-prob --augmentation", ("vision",),
          "--augment flip-crop mirrors images and moves them by up to four pixels"),
    Other("--pretrained --weights --init-from --load --load-model --checkpoint --model-path -i", TRAINED,
          "--resume RUN continues a run exactly, --branch-from RUN@STEP begins another from its checkpoint"),
    Other("--checkpoint --model-path --load --load-model --run --folder --exp-id --load-best",
          ("evaluate", "watch"), "the run is the first word: RUN, or RUN@STEP for a checkpoint"),
    Other("--eval-iters", ("language",),
          "--eval-sequences is the number of sequences of each text, not of batches"),
    Other("--gradient-accumulation-steps --grad-accum --accumulate", ("language",),
          "--batch-size is the whole update; --at-once is how many sequences of it are in memory at once"),
    Other("--workers --num-workers -j", PHASED,
          "examples are drawn on the device: no worker loads them"),
    Other("--amp --fp16 --bf16 --mixed-precision", TRAINED, "give --precision bfloat16"),
    Other("--torch-compile", RL, "give --compile losses"),
    Other("--compile --torch-compile", PHASED, "nothing is compiled here"),
    Other("--no-cuda --no-gpu", (*TRAINED, "compare"), "give --device cpu"),
    Other("--gpu --gpu-id", (*TRAINED, "compare"),
          lambda value: f"give --device cuda{f':{value}' if value.isdigit() else ''}"),
    Other("--cuda --gpus --use-cuda --use-gpu", (*TRAINED, "compare"),
          lambda value: f"give --device {'cpu' if value.lower() in ('false', '0', 'no') else 'cuda'} (auto takes a "
                        "GPU where there is one)"),
    Other("--torch-deterministic --deterministic --cudnn-deterministic", TRAINED,
          "one --seed is one result anyway, bit by bit on a CPU"),
    Other("--capture-video --record-video --save-video", RL,
          "--video films each evaluation's first episode, not training; "
          f"{called('watch')} RUN films a finished run"),
    Other("--save-model --save-replay-buffer --checkpointing", TRAINED,
          "checkpoints with all that a run needs are always kept, every --checkpoint-every"),
    Other("--exp-name --run-name --experiment --name --tag --log-dir --logdir --log-folder --tensorboard-log "
          "--wandb-dir -f", TRAINED,
          "--run-dir is the run's folder, name included; TensorBoard's events are in it"),
    Other("--log-interval --log-freq --print-freq --verbose --summary-freq", TRAINED,
          "--log-every is the distance of two lines of training metrics, in the unit of --steps"),
    Other("--num-train-frames --total-frames --num-frames --frames --total-num-frames --T-max", RL,
          "--steps counts environment steps; an Atari step is --frame-skip frames, 4 of them"),
    Other("--num-steps", RL, "there it is the length of a rollout; the run's length is --steps"),
    Other("--max-episode-steps --time-limit --horizon --max-ep-len", RL,
          "an episode's length is the environment's; of Atari games --episode-frames"),
    Other("--algo --algorithm --agent --policy", TRAINED,
          f"each learner has its command: {', '.join(map(called, TRAINING))}"),
    Other("--reset-interval --reset-every --reset-freq --reset-frequency --reinit-freq --reinit-interval",
          TRAINED, "--reinit-every counts gradient updates, --reinit-at names steps"),
    Other("--num-seeds --n-seeds", ("compare",),
          lambda value: f"--seeds names them: --seeds{_seeds(value)}"),
    Other("--seed -s", ("compare",), "did you mean --seeds? A range such as 0-4, or a list"),
    Other("--num-seeds --n-seeds --seeds", TRAINED,
          f"a run has one --seed; {called('compare')} --seeds 0-4 runs several"),
    Other("--wandb --wandb-project-name --wandb-project --wandb-entity --use-wandb --wandb-log --report-to",
          (*TRAINED, "compare"),
          "give --track wandb, and --track-project NAME; TensorBoard events are always written"),
    Other("--per --prioritized --prioritized-replay --dueling --noisy --distributional --num-atoms --n-atoms --v-min "
          "--v-max", RL, "not part of this agent; what it has is listed by --help-all"),
)  # fmt: skip


def same_as(name: str, command: str) -> Same | None:
    """Return our flag that another program's name means exactly, or None."""
    return next((each for each in SAME if name in each.names.split() and command in each.commands), None)


def answer_to(name: str, command: str, value: str) -> str | None:
    """Return what to use instead of another program's flag that no single flag of ours replaces, or None."""
    for each in OTHERS:
        if name in each.names.split() and command in each.commands:
            return each.answer if isinstance(each.answer, str) else each.answer(value)
    return None
