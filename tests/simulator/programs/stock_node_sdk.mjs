// A user's program: Zoho's unmodified CRM SDK for Node or TypeScript, at its own addresses.
// Arguments: the package, the delivered file, the id in it. Prints what it read.
import path from "node:path";

const [name, file, entry] = process.argv.slice(2);
const loaded = await import(name);
const sdk = loaded.default ?? loaded;
const folder = path.dirname(file);
const logger = new sdk.LogBuilder().level(sdk.Levels.ERROR).filePath(path.join(folder, "sdk.log"));
await (await new sdk.InitializeBuilder())
  .environment(sdk.EUDataCenter.PRODUCTION())
  .token(new sdk.OAuthBuilder().id(entry).findUser(false).build())
  .store(new sdk.FileStore(file))
  .resourcePath(folder)
  .logger(logger.build())
  .initialize();
const answer = await new sdk.Org.OrgOperations().getOrganization();
console.log(JSON.stringify({ company: answer.getObject().getOrg()[0].getCompanyName() }));
