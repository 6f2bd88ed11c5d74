import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Running } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import type { Answer, Call, Tasks } from './agent.ts';

/** Measures inside a lab host, by the tasks of agent.ts. */
export interface Measurer {
  call<Task extends keyof Tasks>(task: Task, ...args: Parameters<Tasks[Task]>): ReturnType<Tasks[Task]>;
}

/** Starts an agent on a host; it ends with the host. */
export async function startMeasurer(host: Host): Promise<Measurer> {
  await host.writeFile('/srv/bench/agent.mjs', await agentProgram());
  return talkTo(host.spawn([process.execPath, '/srv/bench/agent.mjs']), host.name);
}

/** The agent as one file that Node can run. */
export async function agentProgram(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('agent.ts', import.meta.url))],
    bundle: true, format: 'esm', platform: 'node', target: 'node20', write: false,
  });
  return outputFiles[0]!.text;
}

/** Gives calls to an agent that runs, and takes its answers. */
export function talkTo({ child, exited }: Running, place: string): Measurer {
  const open = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  createInterface(child.stdout!).on('line', (line) => {
    const { id, result, error } = JSON.parse(line) as Answer;
    const call = open.get(id);
    open.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(`on ${place}: ${error}`));
  });
  let complaint = '';
  child.stderr!.on('data', (chunk: Buffer) => (complaint += String(chunk)));
  void exited.then((code) => {
    for (const { reject } of open.values()) reject(new Error(`the agent on ${place} ended with exit code ${code}\n${complaint}`));
  });
  let calls = 0;
  const call = (task: keyof Tasks, ...args: readonly unknown[]) => new Promise((resolve, reject) => {
    const id = (calls += 1);
    open.set(id, { resolve, reject });
    child.stdin!.write(`${JSON.stringify({ id, task, args } satisfies Call)}\n`);
  });
  return { call: call as Measurer['call'] };
}
