/** Files and the unit of a server that answers every TCP connection with one line. Node runs it: every lab host has that. */
export function bannerSetup(port: number, text: string): { files: Record<string, string>; unit: string } {
  const unit = `lab-banner-${port}.service`;
  const script = `/srv/lab/banner-${port}.mjs`;
  return {
    unit,
    files: {
      [script]: bannerScript(port, text),
      [`/etc/systemd/system/${unit}`]: `[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/env node ${script}
[Install]
WantedBy=multi-user.target
`,
    },
  };
}

function bannerScript(port: number, text: string): string {
  return `import { createServer } from 'node:net';
import { execFileSync } from 'node:child_process';
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.end(${JSON.stringify(`${text}\n`)});
});
server.listen(${port}, '::', () => execFileSync('systemd-notify', ['--ready']));
`;
}
