// A user's program: Zoho's own Node SDK, unmodified, knows an id and the file that was delivered.
// Arguments: token endpoint, API domain, the file, the id in it. Prints the organization's name.
import path from "node:path";
import * as sdk from "@zohocrm/nodejs-sdk-8.0";

const [tokenEndpoint, apiDomain, file, entry] = process.argv.slice(2);
const folder = path.dirname(file);
const logger = new sdk.LogBuilder().level(sdk.Levels.ERROR).filePath(path.join(folder, "sdk.log"));
await (await new sdk.InitializeBuilder())
  .environment(sdk.DataCenter.setEnvironment(apiDomain, tokenEndpoint, apiDomain))
  .token(new sdk.OAuthBuilder().id(entry).findUser(false).build())
  .store(new sdk.FileStore(file))
  .SDKConfig(new sdk.SDKConfigBuilder().updateAPIDomain(false).build())
  .resourcePath(folder)
  .logger(logger.build())
  .initialize();
const answer = await new sdk.Org.OrgOperations().getOrganization();
console.log(answer.getObject().getOrg()[0].getCompanyName());
