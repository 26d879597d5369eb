// Verifies and signs with the libraries that Node programs use: a JSON object a line in, and one a line out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { sign as octokitSign, verify as octokitVerify } from "@octokit/webhooks-methods";
import "@shopify/shopify-api/adapters/node";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const require = createRequire(import.meta.url);
const bolt = require.resolve("@slack/bolt").replace(/dist[\\/].*$/, "dist/receivers/verify-request.js");
const { verifySlackRequest } = require(bolt);
const stripe = new Stripe("sk_test_none");
const shop = (secret) =>
  shopifyApi({
    apiKey: "key",
    apiSecretKey: secret,
    apiVersion: Object.values(ApiVersion).at(-1),
    hostName: "example.com",
    isEmbeddedApp: false,
    logger: { log: () => {} },
  });

const judges = {
  octokit: {
    sign: async ({ secret, body }) => ({ "X-Hub-Signature-256": await octokitSign(secret, body.toString()) }),
    verify: ({ secret, headers, body }) =>
      octokitVerify(secret, body.toString(), headers["x-hub-signature-256"]),
  },
  shopify: {
    verify: async ({ secret, headers, body }) => {
      const rawRequest = { method: "POST", url: "/", headers };
      return (await shop(secret).webhooks.validate({ rawBody: body.toString(), rawRequest })).valid;
    },
  },
  slack: {
    verify: ({ secret, headers, body, now }) => {
      verifySlackRequest({ signingSecret: secret, headers, body: body.toString(), nowMilliseconds: now * 1000 });
      return true;
    },
  },
  standardwebhooks: {
    sign: ({ secret, body, now }) => ({
      "webhook-id": "msg_1",
      "webhook-timestamp": String(now),
      "webhook-signature": new Webhook(secret).sign("msg_1", new Date(now * 1000), body.toString()),
    }),
    verify: ({ secret, headers, body }) => {
      new Webhook(secret).verify(body, headers);
      return true;
    },
  },
  stripe: {
    sign: ({ secret, body, now }) => ({
      "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload: body.toString(), secret, timestamp: now }),
    }),
    verify: ({ secret, headers, body, now }) =>
      stripe.webhooks.signature.verifyHeader(body, headers["stripe-signature"], secret, 300, null, now * 1000),
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { library, action, ...asked } = JSON.parse(line);
  let answer;
  try {
    answer = { answer: await judges[library][action]({ ...asked, body: Buffer.from(asked.body, "base64") }) };
  } catch (error) {
    answer = { error: String(error.message).split("\n")[0] };
  }
  console.log(JSON.stringify(answer));
}
