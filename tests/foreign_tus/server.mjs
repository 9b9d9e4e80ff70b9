// The tus project's own server, for tests: node server.mjs DIRECTORY [TOKEN]; prints its port on loopback.
import { createServer } from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory, token] = process.argv.slice(2);
const tus = new Server({
  path: "/uploads",
  datastore: new FileStore({ directory }),
  async onIncomingRequest(request) {
    if (token && request.headers.get("authorization") !== `Bearer ${token}`) {
      throw { status_code: 401, body: "token missing or wrong\n" };
    }
  },
});
const server = createServer((request, response) => {
  if (request.url.startsWith("/uploads")) return tus.handle(request, response);
  response.writeHead(404, { "Content-Type": "text/html" }).end("<h1>nothing here</h1>");
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
