import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RunOptions } from '../../src/machine/machine.ts';
import { runSteps } from '../../src/plan/run.ts';
import type { Step } from '../../src/plan/step.ts';
import { makeMemoryMachine, type Node } from './memoryMachine.ts';

const file = (content: string, mode = 0o644): Node => ({ kind: 'file', content, mode });
const directory: Node = { kind: 'directory', mode: 0o755 };

/** Collects what a run tells. */
function listening(signal?: AbortSignal) {
  const done: string[] = [];
  const notices: string[] = [];
  return { done, notices, onDone: (title: string) => void done.push(title), onNotice: (message: string) => void notices.push(message), ...(signal && { signal }) };
}

const install: Step[] = [
  { kind: 'make-directory', path: '/ours', mode: 0o755 },
  { kind: 'write', path: '/ours/config', content: 'new', mode: 0o644 },
  { kind: 'on-undo', argv: ['restart'] },
  { kind: 'write', path: '/unit', content: 'new', mode: 0o644, settle: ['reload'] },
  { kind: 'run', title: 'enable', argv: ['on', 'enabled'], undo: ['off', 'enabled'] },
  { kind: 'run', title: 'start', argv: ['on', 'started'], undo: ['off', 'started'] },
];

test('a plan is carried out in order, and told step by step', async () => {
  const machine = makeMemoryMachine();
  const hooks = listening();
  await runSteps(machine, install, hooks);
  expect(Object.fromEntries(machine.nodes)).toEqual({ '/ours': directory, '/ours/config': file('new'), '/unit': file('new') });
  expect([...machine.switches]).toEqual(['enabled', 'started']);
  expect(machine.commands).toEqual(['reload', 'on enabled', 'on started']);
  expect(hooks.done).toEqual(['make /ours/', 'write /ours/config', 'write /unit', 'enable: on enabled', 'start: on started']);
  expect(hooks.notices).toEqual([]);
});

test('what was carried out can be undone later, in reverse, and only once', async () => {
  const machine = makeMemoryMachine(new Map([['/unit', file('old', 0o600)]]));
  const carried = await runSteps(machine, install, listening());
  machine.commands.length = 0;
  await carried.undo();
  await carried.undo();
  expect(machine.commands).toEqual(['off started', 'off enabled', 'reload', 'restart']);
  expect(Object.fromEntries(machine.nodes)).toEqual({ '/unit': file('old', 0o600) });
});

test('what holds its change in check is asked for before it takes effect, and not on the way back', async () => {
  const guarded = (verb: string): Step[] => [{ kind: 'write', path: '/unit', content: 'new', mode: 0o644, guarded: [verb, 'guard'], settle: ['reload'] }];
  const machine = makeMemoryMachine(new Map([['/unit', file('old')]]));
  await expect(runSteps(machine, guarded('fail'), listening())).rejects.toThrow('fail guard');
  expect(machine.commands).toEqual(['fail guard', 'reload']);
  expect(Object.fromEntries(machine.nodes)).toEqual({ '/unit': file('old') });
  machine.commands.length = 0;
  await (await runSteps(machine, guarded('on'), listening())).undo();
  expect(machine.commands).toEqual(['on guard', 'reload', 'reload']);
});

test('a write that came to nothing is undone without a write: there may be no room for one', async () => {
  const machine = makeMemoryMachine(new Map([['/unit', file('old', 0o600)]]));
  const hooks = listening();
  let writes = 0;
  const full = { ...machine, write: async () => { writes += 1; throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }); } };
  await expect(runSteps(full, [{ kind: 'write', path: '/unit', content: 'new', mode: 0o600, settle: ['reload'] }], hooks)).rejects.toThrow('ENOSPC');
  expect([writes, hooks.notices]).toEqual([1, []]);
});

test('a command that fails is named with what it said, and what was done before it is undone', async () => {
  const machine = makeMemoryMachine(new Map([['/unit', file('old')]]));
  const steps: Step[] = [...install, { kind: 'run', title: 'x', argv: ['fail', 'a b'], undo: ['off', 'x'] }];
  await expect(runSteps(machine, steps, listening())).rejects.toThrow(
    expect.objectContaining({ name: 'ExpectedError', id: 'step-failed', exitCode: 1, message: "fail 'a b': a b: no" }),
  );
  // The failed command's own undo comes first: it may have done half of its work.
  expect(machine.commands).toEqual(['reload', 'on enabled', 'on started', 'fail a b', 'off x', 'off started', 'off enabled', 'reload', 'restart']);
  expect(Object.fromEntries(machine.nodes)).toEqual({ '/unit': file('old') });
});

test('a command may take longer than systemd lets a restart take, which then says itself what went wrong', async () => {
  const seconds = (setting: string) => Number(new RegExp(`^${setting}=(\\d+)$`, 'm').exec(readFileSync(new URL('../../templates/tunnel.service.ejs', import.meta.url), 'utf8'))![1]);
  const limits: (number | undefined)[] = [];
  const machine = makeMemoryMachine();
  const timed = { ...machine, run: (argv: readonly string[], options?: RunOptions) => { limits.push(options?.timeoutMs); return machine.run(argv, options); } };
  await (await runSteps(timed, install, listening())).undo();
  expect(limits).toHaveLength(7);
  for (const limit of limits) expect(limit).toBeGreaterThan(1000 * (seconds('TimeoutStartSec') + 2 * seconds('TimeoutStopSec')));
});

test('a full disk is an expected error, a bug of ours keeps its trace', async () => {
  const machine = makeMemoryMachine();
  machine.failAt(1, 'before');
  await expect(runSteps(machine, install, listening())).rejects.toThrow(expect.objectContaining({ id: 'step-failed', message: expect.stringContaining('ENOSPC') }));
  const broken = { ...makeMemoryMachine(), makeDirectory: () => { throw new TypeError('a bug'); } };
  await expect(runSteps(broken, install, listening())).rejects.toThrow(TypeError);
});

test('a step that others can do without only tells that it failed', async () => {
  const machine = makeMemoryMachine();
  const hooks = listening();
  const carried = await runSteps(machine, [
    { kind: 'run', title: 'linger', argv: ['fail'], undo: ['off', 'linger'], orElse: 'Ask root.' },
    { kind: 'run', title: 'label', argv: ['on', 'label'], undo: ['off', 'label'], orElse: 'never told' },
  ], hooks);
  expect(hooks).toMatchObject({ done: ['label: on label'], notices: ['Ask root.'] });
  await carried.undo();
  expect(machine.commands).toEqual(['fail', 'on label', 'off label']);
});

test('what cannot be undone is told, and the rest is undone all the same', async () => {
  const machine = makeMemoryMachine();
  const hooks = listening();
  const steps: Step[] = [
    { kind: 'write', path: '/a', content: 'x', mode: 0o644 },
    { kind: 'run', title: 'one', argv: ['on', 'one'], undo: ['fail', 'one'] },
    { kind: 'write', path: '/b', content: 'x', mode: 0o644 },
    { kind: 'run', title: 'two', argv: ['fail', 'two'] },
  ];
  await expect(runSteps(machine, steps, hooks)).rejects.toThrow('two: no');
  expect(hooks.notices).toEqual(['could not be undone: fail one: one: no']);
  expect(machine.nodes.size).toBe(0);
});

test.each([0, 1, 2, 3, 4, 5, 6])('an abort after %i changes leaves nothing behind', async (after) => {
  const before = new Map([['/unit', file('old')]]);
  const stopping = new AbortController();
  const machine = makeMemoryMachine(before);
  const hooks = listening(stopping.signal);
  let done = 0;
  if (after === 0) stopping.abort();
  const onDone = (title: string) => {
    hooks.onDone(title);
    done += 1;
    if (done === after) stopping.abort();
  };
  const run = runSteps(machine, install, { ...hooks, onDone });
  if (after > 5) {
    await run;
    return expect(machine.nodes.get('/unit')).toEqual(file('new'));
  }
  await expect(run).rejects.toThrow(expect.objectContaining({ id: 'cancelled', exitCode: 130 }));
  expect(machine.nodes).toEqual(before);
  expect(machine.switches.size).toBe(0);
});

describe('whatever the plan', () => {
  const path = fc.constantFrom('/a', '/b', '/d/a', '/d/e/b', '/x/y');
  const folder = fc.constantFrom('/d', '/d/e', '/x', '/new');
  const mode = fc.constantFrom(0o644, 0o600);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constant('make-directory' as const), path: folder, mode: fc.constant(0o755) }),
    fc.record({ kind: fc.constant('write' as const), path, content: fc.constantFrom('', 'new', 'newer'), mode }),
    fc.record({ kind: fc.constant('write' as const), path, content: fc.constantFrom('new'), mode, settle: fc.constant(['settle']) }),
    fc.record({ kind: fc.constant('remove' as const), path }),
    fc.record({ kind: fc.constant('remove-directory' as const), path: folder }),
    fc.constantFrom('enabled', 'started').map((what): Step => ({ kind: 'run', title: what, argv: ['on', what], undo: ['off', what] })),
    fc.constant<Step>({ kind: 'on-undo', argv: ['restart'] }),
  );
  const nodes = fc.subarray<[string, Node]>([['/a', file('old', 0o600)], ['/b', file('', 0o644)], ['/d/a', file('old')], ['/d/e', { ...directory, mode: 0o700 }], ['/x', directory]])
    .map((list) => new Map<string, Node>([['/d', directory], ...list]));

  // Switches that are on already are never planned to be switched on: undoing would switch them off.
  const plan = fc.array(step, { minLength: 1, maxLength: 12 }).map((steps) => steps.filter((one, at) => one.kind !== 'run' || steps.findIndex((other) => other.kind === 'run' && other.title === one.title) === at));

  test('a failure at any of its changes, before or after it has happened, leaves the machine as it was', async () => {
    let failures = 0;
    await fc.assert(fc.asyncProperty(nodes, plan, async (before, steps) => {
      const dry = makeMemoryMachine(before);
      // Some plans cannot be carried out to the end; what they change on the way back is not counted.
      let changes = 0;
      await runSteps(dry, steps, { ...listening(), onDone: () => { changes = dry.changes(); } }).catch(() => undefined);
      for (let change = 0; change < changes; change += 1) {
        for (const when of ['before', 'after'] as const) {
          const machine = makeMemoryMachine(before);
          machine.failAt(change, when);
          await expect(runSteps(machine, steps, listening())).rejects.toThrow();
          failures += 1;
          expect(machine.nodes).toEqual(before);
          expect(machine.switches.size).toBe(0);
        }
      }
    }), { numRuns: 300 });
    expect(failures).toBeGreaterThan(300);
  });

  test('undoing it after it was done leaves the machine as it was', async () => {
    await fc.assert(fc.asyncProperty(nodes, plan, async (before, steps) => {
      const machine = makeMemoryMachine(before);
      const carried = await runSteps(machine, steps, listening()).catch(() => undefined);
      await carried?.undo();
      expect(machine.nodes).toEqual(before);
      expect(machine.switches.size).toBe(0);
    }), { numRuns: 500 });
  });
});
