import { readFileSync } from 'node:fs';

/** The pids of a process's children, as the kernel lists them; none if it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** A process's descendants, parents before children. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/**
 * The program that a chain of `nsenter` and `su` has started, or that process itself. To be signalled in their stead: if the
 * chain died first, nobody in particular would bury the program, and its pid namespace could not end until somebody did.
 */
export function programBehind(pid: number): number {
  const [child] = childrenOf(pid);
  return child !== undefined && ['nsenter', 'su'].includes(commandOf(pid)) ? programBehind(child) : pid;
}

/** Sends a signal to a process and all its descendants; those that are gone already do not matter. */
export function signalTree(pid: number, signal: NodeJS.Signals): void {
  for (const each of [pid, ...descendantsOf(pid)]) signalProcess(each, signal);
}

/** Sends a signal; false if there is no such process any more. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Whether a process of that pid lives. A zombie does not: it may stay for ever if its parent does not care. */
export function isAlive(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the name, in parentheses, may itself hold some
    const state = status.slice(status.lastIndexOf(')') + 2, status.lastIndexOf(')') + 3);
    return !'ZX'.includes(state);
  } catch {
    return false;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
