// Makes a container in Azurite: node container.mjs PORT CONTAINER. The key is the emulator's published one, no secret.
// Source of the signature: learn.microsoft.com, "Authorize with Shared Key".
import { createHmac } from 'node:crypto';

const [port, container] = process.argv.slice(2);
const account = 'devstoreaccount1';
const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const date = new Date().toUTCString();
const version = '2021-12-02';
const text = ['PUT', ...Array(11).fill(''), `x-ms-date:${date}`, `x-ms-version:${version}`, `/${account}/${account}/${container}`, 'restype:container'].join('\n');
const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');
const answer = await fetch(`http://127.0.0.1:${port}/${account}/${container}?restype=container`, {
  method: 'PUT',
  headers: { 'x-ms-date': date, 'x-ms-version': version, authorization: `SharedKey ${account}:${signature}` },
});
if (answer.status !== 201) {
  console.error(answer.status, await answer.text());
  process.exit(1);
}
