type Disposer = () => Promise<void>;

const open = new Set<Disposer>();

/**
 * Makes a disposer that runs once however often it is called, and that `disposeAll` knows of until then.
 * (If the whole process dies instead, the kernel ends what it started: see sandbox.ts and child.ts.)
 */
export function disposable(dispose: Disposer): Disposer {
  let running: Promise<void> | undefined;
  const once = () => {
    open.delete(once);
    running ??= dispose();
    return running;
  };
  open.add(once);
  return once;
}

/** Ends everything that the lab has started in this process and that has not been disposed of yet, newest first. */
export async function disposeAll(): Promise<void> {
  for (const dispose of [...open].reverse()) await dispose();
}
