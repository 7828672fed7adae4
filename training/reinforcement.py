"""Reinforcement learning as a work: act, do the updates owed, step the environments, store the transitions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from fire_rl import envs
from fire_rl.agents.agent import Agent
from fire_rl.agents.compiled import require_compiler
from fire_rl.agents.learning import AgentWithInputs, CapturedAgent, ProbedAgent
from fire_rl.envs.kept_spaces import KeptSpaces, kept_spaces
from fire_rl.envs.world import to_environment
from fire_rl.fire import Network, PlasticityManager
from fire_rl.fire.streams import restore_generator
from fire_rl.replay import AdaptiveRatio, Batch, ReplayRatio, Segment

from .agent_run import AgentRun
from .cost import ENOUGH_ENVIRONMENTS, bytes_of, made_up_batch, step_rate, update_rate
from .device import choose_device, notes_on_updates
from .divergence import require_numbers
from .durable import DurableStore
from .evaluate import Evaluation
from .film import EvaluationFilm, evaluation_video
from .memory import require_memory_for_environments
from .probes import BATCH_SIZE, BATCHES, FEWEST_EXAMPLES, USE, different_batches, drawn_seed, probed_with
from .progress import Count
from .ranks import affordable, notes_on_ranks, wanted_examples
from .run_replay import make_replay
from .streams import Streams
from .work import DrawInputs, Host, Losses, Probes, Rates, Runs, State, Weight, Work, named

EXAMPLES = 256  # the number of transitions for measures and methods


class Counts(msgspec.Struct, frozen=True):
    """The plain values that a checkpoint stores of a run of reinforcement learning."""

    steps: Count
    decisions: Count
    episodes: Count
    returns: list[float]  # of the open episodes
    lengths: list[Count]  # of the open episodes, in environment steps
    ratio: dict[str, Any]  # the state of the replay ratio, which it checks itself
    replay_added: Count
    spaces: KeptSpaces | None = None  # for using the policy without the environment; None in older versions


class Reinforcement(Work):
    """An agent that learns in environments with a replay."""

    def __init__(self, config: AgentRun) -> None:
        """Build everything; raise ValueError in one line if the settings are not possible."""
        super().__init__()
        settings, self.config, self.settings = config.run, config, config.run
        self.device, self.world = choose_device(settings.device), config.world
        if settings.compile == "losses":
            require_compiler(self.device)
        require_memory_for_environments(settings, self.world)
        streams = Streams.spawn(settings.seed, settings.evaluated_at_once)
        self.method_seed, self.measure_seed = streams.methods, streams.measures
        self.environment = self.world.vector(settings.num_envs, streams.environment)
        self.agent = config.make_agent(self.environment, streams.agent, self.device)
        self.recorder = self.agent if isinstance(self.agent, CapturedAgent) else None  # tested once, not at each update
        if self.recorder is not None:
            self.recorder.captured.on = settings.capture == "auto"
            self.recorder.captured.precision = settings.precision
            self.recorder.compiled.on = settings.compile == "losses"
        self.replay, note = make_replay(config, self.environment, self.device)
        self.replay_generator = torch.Generator().manual_seed(streams.replay)  # on the CPU: the same for every device
        self.is_atari = envs.is_atari(settings.env)
        self.clipped = config.agent.rewards_are_clipped(self.is_atari)
        self.to_environment = to_environment(self.environment.single_action_space)
        evaluated, exploration = self.world.evaluated.vector(settings.evaluated_at_once), config.evaluation_exploration
        decisions = None if settings.eval_steps is None else -(-settings.eval_steps // settings.action_repeat)
        self.evaluation = Evaluation(evaluated, streams.evaluation, decisions, exploration)
        self.film = (
            EvaluationFilm(self.world.evaluated, settings.evaluated_at_once, self.evaluation.longest)
            if settings.video else None
        )  # fmt: skip
        around = config.surroundings(self.environment)
        self.spaces = kept_spaces(around.observations, around.actions, around.episode_steps)
        self.resumable = hasattr(self.environment, "get_state")
        self.notes = (note, *notes_on_updates(self.agent), *config.notes_on(self.environment))
        self.ratio: ReplayRatio | AdaptiveRatio = settings.make_ratio()
        if isinstance(self.ratio, AdaptiveRatio) and all(network.target is None for network in self.networks()):
            raise ValueError("--replay-ratio adaptive follows the network that has a target; this agent has none")
        self.segments: tuple[Segment, ...] = ()
        self._said: set[str] = set()
        self.rank_examples: dict[str, int] = {}  # by network
        if settings.measure_every and hasattr(self.agent, "runs"):
            wanted, batch_size = wanted_examples(self.networks()), config.agent.batch_size
            self.rank_examples = affordable(wanted, batch_size, settings.measure_every, self.device)
            self.notes += (*notes_on_ranks(wanted, self.rank_examples, EXAMPLES, batch_size),)
        self.steps = self.decisions = self.episodes = 0
        self.returns, self.lengths = [0.0] * settings.num_envs, [0] * settings.num_envs  # of the open episodes
        self.observations: np.ndarray | None = None

    def networks(self) -> tuple[Network, ...]:
        """Return the agent's networks that plasticity methods may act on."""
        return self.agent.plastic()

    # Decisions

    def begin(self, host: Host) -> None:
        """Get the first observations.

        If a run is resumed whose environments' states could not be saved, its open episodes end here as truncated.
        """
        super().begin(host)
        if self.recorder is not None:
            self.recorder.captured.say = host.say
        if self.observations is not None:
            return
        drawn = np.random.SeedSequence([self.settings.seed, self.steps]).generate_state(1)
        seeds = envs.spawn_seeds(int(drawn[0]), self.environment.num_envs) if self.steps else None
        with self.calls.one():
            self.observations, _ = self.environment.reset(seed=seeds)  # type: ignore[arg-type]  # a list is allowed
        require_numbers("observation", self.observations)
        self.replay.cut()
        for member, length in enumerate(self.lengths):
            if length:
                self._end_episode(member, "truncated")

    def advance(self, update: Callable[[int], None]) -> None:
        """Take one decision in every environment, and do the updates owed for it."""
        count, observations = self.environment.num_envs, self.observations
        assert observations is not None
        self.agent.observe(observations)
        learning = self.decisions >= self.settings.learning_starts
        actions = self.agent.act(observations, explore=True) if learning else self.agent.random_actions(count)
        if learning and len(self.replay):
            update(self.ratio.owed(count))
        require_numbers("action", actions)
        with self.calls.one():
            following, rewards, terminated, truncated, infos = self.environment.step(self.to_environment(actions))
        true_next = envs.next_observations(following, infos)
        require_numbers("observation", true_next)
        if true_next is not following:  # an episode ended, so that `following` has the first observation of the next
            require_numbers("observation", following)
        require_numbers("reward", rewards)
        learned = np.sign(rewards) if self.clipped else rewards
        self.replay.add(observations, actions, learned, true_next, terminated, truncated)
        self.observations = following
        self.decisions += count
        self.steps += count * self.settings.action_repeat
        # Only of Atari is it known what "game_over" means: a user's environment may use this word too.
        self._count_episodes(rewards, terminated, infos["game_over"] if self.is_atari else terminated | truncated)

    def update(self, count: int, manager: PlasticityManager) -> Mapping[str, Tensor]:
        """Do `count` gradient updates on transitions drawn from the replay."""
        drawn = self.replay.draw(count, self.config.agent.batch_size, self.replay_generator)
        if self.recorder is not None and self.recorder.captured.records and self.replay.device == self.device:
            if said := self.recorder.captured.not_recorded(manager):
                self.host.say(said)
            return self.recorder.update(drawn, manager)
        return self.agent.update(drawn.gather(drawn.places).to(self.device), manager)

    def _count_episodes(self, rewards: np.ndarray, terminated: np.ndarray, over: np.ndarray) -> None:
        """Count whole games: if a lost life ends an episode for the learner, the logged episode goes on."""
        for member, reward in enumerate(rewards.tolist()):
            self.returns[member] += reward
            self.lengths[member] += self.settings.action_repeat
            if over[member]:
                self._end_episode(member, "terminated" if terminated[member] else "truncated")

    def _end_episode(self, member: int, ending: str) -> None:
        self.episodes += 1
        values = {"return": self.returns[member], "length": self.lengths[member], "ending": ending}
        self.host.write("episode", values)
        self.returns[member], self.lengths[member] = 0.0, 0

    # What is logged

    def counts(self, updates: int) -> dict[str, int]:
        """Return decisions, environment steps, updates and episodes; for Atari games frames too."""
        counts = {
            "decisions": self.decisions, "environment_steps": self.steps, "updates": updates, "episodes": self.episodes
        }  # fmt: skip
        frames = self.world.frames_per_step
        return counts | ({"frames": frames * self.steps} if frames else {})

    def figures(self) -> dict[str, float]:
        """Return the replay ratio if it adapts itself."""
        return {"replay_ratio": self.ratio.ratio} if isinstance(self.ratio, AdaptiveRatio) else {}

    def losses(self, updates: int) -> Losses:
        """Return the networks' losses on random transitions; nothing while the replay is empty."""
        if not len(self.replay):
            return {}
        seeds = np.random.SeedSequence([self.measure_seed, updates]).generate_state(2, np.uint64)
        return self.agent.losses(self.examples(EXAMPLES, int(seeds[0])), int(seeds[1]))

    def examples(self, count: int, seed: int) -> Batch:
        """Return random transitions for measures, drawn by a generator with this seed."""
        batch = self.replay.sample(1, count, torch.Generator().manual_seed(seed)).to(self.device)
        return Batch(*(tensor[0] for tensor in batch))

    def runs(self, updates: int) -> Runs:
        """Return functions that run the networks on more examples, which have a random generator of their own."""
        wanted, held = self.rank_examples, len(self.replay)
        if not wanted or not held:
            return {}
        if held < (most := max(wanted.values())):
            need = f"ranks of features need {most:,} transitions"
            self._say_once("few", f"{need}: they are too low while the replay holds {held:,}")
        seed = np.random.SeedSequence([self.measure_seed, updates, 1]).generate_state(1, np.uint64)
        examples = self.examples(min(most, held), int(seed[0]))
        runs: Runs = self.agent.runs(examples, wanted)  # type: ignore[attr-defined]
        return runs

    def inputs(self) -> Mapping[str, DrawInputs]:
        """Return, for each network, a function that draws a batch of its inputs from the replay."""
        agent = self.agent
        if not isinstance(agent, AgentWithInputs):
            return {}

        def draw(name: str, generator: torch.Generator) -> tuple[Tensor, ...]:
            if not len(self.replay):
                raise ValueError("a repair needs inputs, but the replay is still empty")
            batch = self.replay.sample(1, EXAMPLES, generator).to(self.device)
            return agent.inputs(Batch(*(tensor[0] for tensor in batch)))[name]

        return {network.name: partial(draw, network.name) for network in self.networks()}

    def probes(self, updates: int) -> Probes:
        """Return what is needed to probe the networks, on transitions; made-up ones while the replay has too few."""
        agent = self.agent
        if not isinstance(agent, ProbedAgent):
            return {}
        if len(self.replay) < FEWEST_EXAMPLES:
            spaces = self.environment.single_observation_space, self.environment.single_action_space
            batches = made_up_batch((BATCHES, BATCH_SIZE), *spaces)
        else:
            seed = np.random.SeedSequence([self.measure_seed, updates, USE]).generate_state(1, np.uint64)
            batches = different_batches(self.replay, torch.Generator().manual_seed(int(seed[0])), len(self.replay))
        return probed_with(agent, agent.probed(batches.to(self.device)), self.drawn)

    def drawn(self, number: int) -> Agent:
        """Return a new agent with other random initial values than the run's own."""
        return self.config.make_agent(self.environment, drawn_seed(self.settings.seed, number), self.device)

    def check_probes(self) -> None:
        """Raise ValueError if the agent does not say how its networks are probed."""
        if not isinstance(self.agent, ProbedAgent):
            super().check_probes()

    def rehearse(self) -> tuple[Sequence[Network], Losses]:
        """Return the networks of a second, new agent, and its losses on random examples."""
        agent = self.config.make_agent(self.environment, Streams.spawn(self.settings.seed).agent, self.device)
        spaces = self.environment.single_observation_space, self.environment.single_action_space
        batch = made_up_batch((EXAMPLES,), *spaces)
        return agent.plastic(), agent.losses(batch.to(self.device), 0)

    def heed(self, measures: Mapping[str, float]) -> None:
        """Give an adaptive replay ratio the fraction of active units of the critic, the network that has a target."""
        if not isinstance(self.ratio, AdaptiveRatio):
            return
        critic = next(network.name for network in self.networks() if network.target is not None)
        before = self.ratio.ratio
        if f"{critic}/active" in measures and self.ratio.observe(measures[f"{critic}/active"]):
            self.host.write("ratio", {"replay_ratio": self.ratio.ratio})
            self.host.say(f"replay ratio {before:g} -> {self.ratio.ratio:g}")

    # Evaluation

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Return the policy's actions, in the form that the environment takes."""
        return self.to_environment(self.agent.act(observations, explore=False))

    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """Return the returns and lengths of the evaluation's episodes."""

        def act(observations: np.ndarray) -> np.ndarray:
            pause()
            require_numbers("observation", observations)
            return self.act(observations)

        unfinished = (
            f"no episode ended within --eval-steps {self.settings.eval_steps}: the returns are those of unfinished "
            "episodes"
        )
        returns, lengths = self.evaluation.run(act, self.calls, partial(self._say_once, "unfinished", unfinished))
        mean = float(returns.mean())
        lengths = lengths * self.settings.action_repeat
        values = {"return": mean, "returns": returns.tolist(), "lengths": lengths.tolist()}
        score = envs.normalised_score(self.settings.env, mean)
        return values if score is None else values | {"score": score}

    def _say_once(self, what: str, line: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self.host.say(line)

    def show(self, folder: Path, occasion: str, stopping: Callable[[], bool]) -> None:
        """Film the evaluation's first episode; the film is given up if the run is asked to stop."""
        if (film := self.film) is None:
            return
        path = evaluation_video(folder, self.steps, occasion)

        def act(observations: np.ndarray) -> np.ndarray:
            if stopping():
                raise InterruptedError("the run was asked to stop")
            return self.act(observations)

        def record() -> None:
            with self.calls.between(self.evaluation.explored(act)) as acting:
                film.record(acting, self.evaluation.seeds[0], path)

        self.host.attempt(path.name, record)

    # State

    def learner(self) -> Mapping[str, Tensor]:
        """Return the agent's tensors."""
        return self.agent.state_dict()

    def state(self, folder: Path) -> State:
        """Write the replay's new segments, and return the state of environments, episodes and counts."""
        self.segments = tuple(self.replay.save(DurableStore(folder / "replay"), self.segments))
        tensors = {"generator.replay": self.replay_generator.get_state()}
        if self.resumable:
            state = self.environment.get_state()  # type: ignore[attr-defined]
            tensors |= {f"environment.{name}": torch.from_numpy(np.asarray(value)) for name, value in state.items()}
            tensors["observations"] = torch.from_numpy(self.observations)
        values = Counts(
            self.steps, self.decisions, self.episodes, self.returns, self.lengths,
            dict(self.ratio.state_dict()), self.replay.added, self.spaces,
        )  # fmt: skip
        return State(tensors, msgspec.to_builtins(values), self.segments)

    def restore(
        self, folder: Path, learner: Mapping[str, Tensor], state: State, restructure: Callable[[], None]
    ) -> None:
        """Restore a checkpoint; raise ValueError if it does not fit the run's environments."""
        values, tensors = msgspec.convert(state.values, Counts), state.tensors
        if {len(values.returns), len(values.lengths)} != {count := self.environment.num_envs}:
            raise ValueError(f"it has the open episodes of another number of environments than the run's {count}")
        # First the replay, which may turn out to be damaged, then the structure of the networks, then their tensors.
        self.replay.load(DurableStore(folder / "replay"), state.segments, values.replay_added)
        restructure()
        self.agent.load_state_dict(learner)
        restore_generator(self.replay_generator, tensors["generator.replay"])
        self.ratio.load_state_dict(values.ratio)
        self.steps, self.decisions, self.episodes = values.steps, values.decisions, values.episodes
        self.returns, self.lengths, self.segments = values.returns, values.lengths, state.segments
        if self.resumable and "observations" in tensors:  # missing in checkpoints of older versions
            saved = {name: value.numpy() for name, value in named(tensors, "environment.").items()}
            self.environment.reset()
            self.environment.set_state(**saved)  # type: ignore[attr-defined]  # saved only if it exists
            self.observations = tensors["observations"].numpy()
            space = self.environment.observation_space
            if (self.observations.shape, self.observations.dtype) != (space.shape, space.dtype):
                raise ValueError(f"its observations have the shape {self.observations.shape}, {space.shape} is needed")
            require_numbers("observation", self.observations)

    # Cost

    def rates(self) -> Rates:
        """Measure the rates of updates and of environment steps."""
        agent = self.config.make_agent(self.environment, Streams.spawn(self.settings.seed).agent, torch.device("cpu"))
        spaces = self.environment.single_observation_space, self.environment.single_action_space
        environment = self.world.vector(min(self.settings.num_envs, ENOUGH_ENVIRONMENTS))
        steps = step_rate(environment) * self.settings.action_repeat
        return Rates(update_rate(agent, self.config.agent.batch_size, *spaces), steps)

    def weight(self) -> Weight:
        """Return the sizes of a checkpoint and of the replay."""
        tensors = (value for value in vars(self.replay).values() if isinstance(value, Tensor))
        return Weight(
            self.settings,
            checkpoint=bytes_of(self.agent.state_dict().values()),
            replay=bytes_of(tensors),
            transitions=self.replay.capacity,
            steps_of_a_transition=self.settings.action_repeat,
        )
