import { dirname } from 'node:path';
import type { FileStat, Machine, RunResult } from '../../src/machine/machine.ts';

export type Node = { readonly kind: 'file'; readonly content: string; readonly mode: number } | { readonly kind: 'directory'; readonly mode: number };

/** A machine that is two maps: what lies where, and what its commands have switched on. */
export interface MemoryMachine extends Machine {
  readonly nodes: Map<string, Node>;
  readonly switches: Set<string>;
  /** All commands that were run. */
  readonly commands: string[];
  /** Makes one change fail, counted from 0 over all that can; in its middle means: after it has happened. */
  failAt(change: number, when: 'before' | 'after'): void;
  /** Of the changes made so far, how many could have failed. */
  changes(): number;
}

/** `on X` and `off X` flip a switch, `fail` fails; other commands do nothing. */
export function makeMemoryMachine(nodes: ReadonlyMap<string, Node> = new Map(), switches: ReadonlySet<string> = new Set()): MemoryMachine {
  const files = new Map(nodes);
  const on = new Set(switches);
  const commands: string[] = [];
  let count = 0;
  let failing: { change: number; when: 'before' | 'after' } | undefined;
  const fault = () => Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const change = (work: () => void, atomic = false) => {
    const fails = failing?.change === count;
    count += 1;
    if (fails && (failing?.when === 'before' || atomic)) throw fault();
    work();
    if (fails) throw fault();
  };
  const parentOf = (path: string) => {
    if (dirname(path) !== '/' && files.get(dirname(path))?.kind !== 'directory') throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
  };
  const result = (code: number, stderr = ''): RunResult => ({ code, stdout: '', stderr, timedOut: false, stopped: false });
  const unused = () => { throw new Error('a plan has no use for this'); };
  return {
    nodes: files,
    switches: on,
    commands,
    failAt: (at, when) => { failing = { change: count + at, when }; },
    changes: () => count,
    read: async (path) => {
      const node = files.get(path);
      return node?.kind === 'file' ? Buffer.from(node.content) : undefined;
    },
    stat: async (path): Promise<FileStat | undefined> => {
      const node = files.get(path);
      return node && { kind: node.kind, mode: node.mode, uid: 0, gid: 0, size: 0 };
    },
    list: async (path) => [...files.keys()].filter((other) => dirname(other) === path).map((other) => other.slice(path.length + 1)),
    write: async (path, content, mode) => change(() => {
      parentOf(path);
      files.set(path, { kind: 'file', content: content.toString(), mode });
    }),
    remove: async (path) => change(() => void files.delete(path)),
    makeDirectory: async (path, mode) => change(() => {
      parentOf(path);
      if (files.has(path)) throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' });
      files.set(path, { kind: 'directory', mode });
    }, true),
    removeEmptyDirectory: async (path) => {
      if ([...files.keys()].some((other) => dirname(other) === path)) return false;
      change(() => void files.delete(path), true);
      return true;
    },
    run: async (argv) => {
      commands.push(argv.join(' '));
      const [verb, what = ''] = argv;
      if (verb === 'fail') return result(1, `${what}: no\n`);
      try {
        change(() => {
          if (verb === 'on') on.add(what);
          if (verb === 'off') on.delete(what);
        });
        return result(0);
      } catch {
        return result(1, 'broken');
      }
    },
    runAttached: unused, temporaryDirectory: unused, removeTree: unused, symlink: unused, dial: unused, lock: unused, reconnect: unused,
  };
}
