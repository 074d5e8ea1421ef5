# SPDX-License-Identifier: Apache-2.0
"""Plots about setting out: something lost, something fetched, something far away."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

PLOTS = (
    Plot(
        "lost toy",
        world="town",
        choices=(
            {"place": "in a bird's nest", "how": "A magpie had liked the color"},
            {"place": "in the doghouse", "how": "A puppy had carried it home"},
            {"place": "under the sofa", "how": "It was covered with dust"},
            {"place": "in the washing machine", "how": "It was very clean now"},
            {"place": "behind the curtain", "how": "It had been there all the time"},
            {"place": "on the roof of the shed", "how": "The wind had carried it there"},
            {"place": "in {parent}'s pocket", "how": "{Parent} had kept it safe"},
            {"place": "in the flower bed", "how": "A daisy had grown right beside it"},
            {"place": "in the mailbox", "how": "A neighbor had found it and put it there"},
            {"place": "in the oven", "how": "It smelled a little of cake"},
        ),
        beats=(
            (
                "{Hero} had {a colour} {toy}.{fact toy} {He} took it everywhere, even to bed.",
                "<brief> {He} had {a colour} {toy} that {he} loved more than anything.{fact toy}",
                "When {hero} turned five, {parent} gave {him} {a colour} {toy}.{fact toy} It was"
                " {his} favorite toy.",
            ),
            (
                "But <quarrel>, the {colour} {toy} could not be found anywhere.",
                "<one day> {he} reached for it, but it had gone.",
                'One morning {he} looked into {his} toy box and cried, "Where is it?"',
            ),
            PARAGRAPH,
            (
                "{Hero} looked under the bed and behind the door, but all {he} found was a sock.",
                "{Hero} looked in every {box} and on every shelf.",
                "First {he} looked in the kitchen, then in the yard, and then in the bathtub.",
                "{He} asked {parent}, and {he} asked the neighbors, but nobody had seen it.",
            ),
            "<pets>",
            maybe(
                '"It is lost forever," {he} said, and {his} lip began to shake.',
                "{Hero} felt so {sad} that {he} did not want any supper.",
                "{Hero} sat down on a step and cried.",
            ),
            (
                '"Close your eyes and think," said {parent}. "Where did you play with it last?"',
                '"I will help you," said {his} {pal}. "Four eyes see more than two."',
                '"Lost things wait for us," said {parent}. "We only have to look once more."',
            ),
            PARAGRAPH,
            (
                "So they looked once more, and there it was, {place}! {How}.",
                "<think> Then {he} ran to look, and there it was, {place}! {How}.",
                "At last {he} spotted something {colour} {place}. It was the {toy}! {How}.",
            ),
            (
                "{Hero} hugged the {toy} and danced around the room.",
                "<happy> From then on, the {toy} had its own place on the shelf.",
                '"Never run away again," {he} told the {toy}, and it promised, in its own way.',
                "That night the {colour} {toy} slept on {his} pillow. The pillow was soft.",
            ),
        ),
    ),
    Plot(
        "lost pet",
        world="town",
        choices=(
            {"where": "under the porch", "why": "It had chased a ball and got stuck"},
            {"where": "in a basket of clean clothes", "why": "It had made itself a nest and slept"},
            {"where": "at the fish shop", "why": "It sat there and looked hungry"},
            {"where": "in the garden shed", "why": "The wind had slammed the door shut"},
            {"where": "behind the bakery", "why": "The baker's wife had given it some crumbs"},
            {"where": "in the next garden", "why": "It had made a friend there"},
            {
                "where": "under the stairs",
                "why": "It had found a sunny spot and did not want to move",
            },
        ),
        beats=(
            (
                "{Hero} had {a stray} called {petname}.{fact stray} Every evening {he} fed it and"
                " told it about {his} day.",
                "<brief> {He} had {a stray} called {petname}, and the two of them were never"
                " apart.{fact stray}",
            ),
            (
                "<one day> somebody left the gate open, and {petname} slipped out.",
                "But <quarrel>, {petname} did not come when {hero} called.",
                "One evening the food bowl was still full, and {petname} had disappeared.",
            ),
            PARAGRAPH,
            (
                '"{Petname}! {Petname}!" called {hero} up and down the street. <street>',
                "{Hero} drew a picture of {petname} and hung it on every {tree}. <street>",
                "{Hero} and {his} {pal} looked behind every bush. <meet>",
                "{Hero} asked everyone in town. <street> <meet>",
            ),
            maybe(
                "Nobody had seen {petname}, and the street lamps went on already.",
                '"What if it never comes back?" {he} asked, and {his} eyes filled with tears.',
                "It began to rain, and {hero} thought of {petname}, all alone in the wet.",
            ),
            PARAGRAPH,
            (
                'Then {elder} waved to {him}. "Come and look," said {elder}.',
                'Then {his} {pal} came running. "Come quickly!" {he2} called.',
                "{Hero} stood still and listened. Was that a little sound?",
            ),
            "And there, {where}, {he} found {petname}! {Why}.",
            (
                "{Hero} carried {petname} home in {his} arms and did not let go until supper.",
                '"You silly thing," said {hero}, but {he} laughed and cried at the same time.',
                "<happy> From that day on, {he} always closed the gate.",
                "They went home together, and {petname} got an extra dinner.",
            ),
        ),
    ),
    Plot(
        "medicine",
        choices=(
            {"cure": "mint", "from": "beside the spring", "ill": "had a fever"},
            {"cure": "honey", "from": "in the hollow trunk", "ill": "had a sore throat"},
            {
                "cure": "licorice root",
                "from": "on the other side of the valley",
                "ill": "felt weak",
            },
            {"cure": "a blue flower", "from": "at the top of the cliff", "ill": "could not sleep"},
            {"cure": "water from the stone well", "from": "in the ruin", "ill": "had a headache"},
            {"cure": "chamomile", "from": "on the far meadow", "ill": "had a tummy ache"},
            {
                "cure": "a silver leaf",
                "from": "on the island in the marsh",
                "ill": "had lost all strength",
            },
        ),
        beats=(
            "<brief> <one day> {parent} {ill} and had to stay in bed.",
            (
                '"{Cure} would help," said {elder}.{fact elder} "You find it {from}." {Hero} did'
                " not wait a moment.",
                '"I know what helps," said {hero}. "I will fetch {cure} {from}." And {he} set out'
                " before anyone could say no.",
            ),
            PARAGRAPH,
            (
                "<way> <meet>",
                "<meet> <way>",
                "<way> <way>",
            ),
            (
                "{Hero}'s feet hurt, and {he} wanted to turn back. But {he} thought of {parent} and"
                " went on.",
                "Once {he} fell and scraped {his} knee, but {he} got up again.",
                "Then it began to rain, but {he} only walked faster.",
                "",
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            (
                "At last {he} found it, {from}. {He} took only as much as {he} needed and hurried"
                " home.",
                'And there it was, {from}! "Thank you," {he} said to nobody and everybody, and ran'
                " all the way back.",
                "When {he} found it, {from}, {he} also met {intro2} who was lost. So {he} took"
                " {him2} along on the way home.",
            ),
            (
                "{Parent} slept the whole night and had pink cheeks in the morning.",
                "It helped, and two days later {parent} got up and danced through the kitchen.",
                '"You went all that way for me?" asked {parent}. "I would go twice as far," said'
                " {hero}.",
                "Maybe it was the medicine that helped, and maybe it was the love.",
            ),
            (
                "",
                "<night>",
                "{Hero} had found out how far small feet can go.",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "treasure map",
        pair=True,
        choices=(
            {"found": "in a bottle", "chest": "a pile of old letters", "then": "kept the stamps"},
            {
                "found": "under a loose board",
                "chest": "a hundred marbles",
                "then": "kept the biggest one",
            },
            {
                "found": "in a book",
                "chest": "a mirror and a note",
                "then": "kept the note, which said that a friend is the best treasure",
            },
            {
                "found": "inside a hollow log",
                "chest": "a crown of paper",
                "then": "took turns with the crown",
            },
            {
                "found": "behind a picture",
                "chest": "a bag of seeds",
                "then": "kept them until spring and grew a jungle",
            },
            {
                "found": "in a jar",
                "chest": "nothing but another map",
                "then": "went on until the stars came out",
            },
            {
                "found": "under a stone",
                "chest": "{number} gold buttons",
                "then": "kept one each and gave the others away",
            },
        ),
        beats=(
            "<pair> <one day> they found a map {found}.",
            maybe(
                '"It is a treasure map!" cried {hero}. "Look, here is the cross!"',
                '"What does this red cross mean?" asked {friend}. "Treasure!" said {hero}.',
                "It showed a line of dots and a big red cross. They did not need to talk about it."
                " They went at once.",
            ),
            PARAGRAPH,
            (
                "<way> <way>",
                "<way> <meet>",
                "<meet> <way>",
            ),
            maybe(
                '"Are you sure that this is right?" asked {friend}. {Hero} turned the map around.'
                ' "Oh," {he} said. "Now it is."',
                '"Ten steps to the left," read {hero}. They took ten steps and fell into a bush.',
                "Once they lost their way, but {friend} found a mark on {a tree}.",
            ),
            PARAGRAPH,
            (
                "Under the cross they dug until they hit [a box|a chest|an iron pot|a barrel].",
                "At last they came to the place. They dug until their arms hurt, and there it was,"
                " a [chest|crate|trunk|basket]!",
            ),
            (
                "They opened it and found {chest}.",
                "They lifted the lid and found {chest}.",
            ),
            (
                "They {then}.",
                "It was not gold, but it was better. They {then}.",
                '"We are rich!" said {friend}. They {then}.',
            ),
            (
                "",
                "<home again>",
                "Then they drew a new map and hid it for someone else to find.",
                '"The best part was the way," said {hero}, and {friend} thought so too.',
                "",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "forgotten errand",
        world="town",
        choices=(
            {"list": "eggs, milk and flour", "wrong": "pegs, silk and a flower"},
            {"list": "rice, ham and tea", "wrong": "dice, jam and a key"},
            {"list": "butter, cake and beans", "wrong": "a cutter, a rake and jeans"},
            {"list": "soap, salt and a pan", "wrong": "a rope, malt and a fan"},
            {"list": "potatoes, peas and a hen", "wrong": "tomatoes, bees and a pen"},
            {"list": "corn, cream and a brush", "wrong": "a horn, a beam and a bush"},
            {"list": "plums, coal and a broom", "wrong": "drums, a bowl and a loom"},
        ),
        beats=(
            (
                'One {fine} {time}, {parent} gave {hero} {a colour} basket. "Please buy'
                ' {list}," said {parent}.',
                '"Please buy {list}," said {parent} one {fine} {time} and gave {hero} {a'
                " colour} basket.",
                'One {weekday}, {parent} gave {hero} a basket and {number} coins. "Please buy'
                ' {list}," said {parent}.',
            ),
            (
                '"{List}," {he} sang as {he} skipped along. <street>',
                "{He} said it over and over on the way. <street>",
            ),
            maybe(
                "<meet>",
                "<street>",
            ),
            PARAGRAPH,
            (
                "When {he} stood in the shop, {his} head felt empty. What had it been?",
                "But then {he} met {his} {pal}, and they talked about whales. When {he} got to the"
                " shop, {he} had forgotten it all.",
                "Then {he} tripped over {his} own feet, and the words fell right out of {his}"
                " head.",
            ),
            (
                "{Hero} did not want to ask. So {he} bought {wrong}.",
                "<think> Then {he} bought {wrong}, and hoped for the best.",
            ),
            PARAGRAPH,
            (
                '{Parent} looked into the basket for a while. "Interesting," said {parent}. "And'
                ' what shall we cook with that?"',
                '"Is that right?" asked {hero}. {Parent} laughed so hard that the cups shook.',
            ),
            maybe(
                '"I forgot," said {hero}, "and I did not want to say so." {Parent} smiled. "It is'
                ' no shame to ask."',
                '"I am sorry," said {hero}. "It sounded almost the same."',
            ),
            (
                "So they went back together. The next time, {hero} drew a little picture of each"
                " thing.",
                "Then they wrote a list, in big letters, and {hero} went again. This time {he} got"
                " everything right.",
                "They had pancakes that night, from what was left in the house. <night>",
            ),
        ),
    ),
    Plot(
        "the parcel",
        choices=(
            {
                "parcel": "a parcel",
                "what": "a clock that sang",
                "who": "a hermit on the other side of the valley",
            },
            {
                "parcel": "a letter",
                "what": "an invitation to a wedding",
                "who": "an aunt by the sea",
            },
            {
                "parcel": "a jar of jam",
                "what": "the jam that had won the prize",
                "who": "a cousin on the far side of the woods",
            },
            {
                "parcel": "a pair of mittens",
                "what": "wool from seven sheep",
                "who": "a shepherd up in the highlands",
            },
            {
                "parcel": "a lamp",
                "what": "a lamp that burned all winter",
                "who": "the keeper of the lighthouse",
            },
            {
                "parcel": "a box with holes",
                "what": "a baby duck",
                "who": "a neighbor who lived far away",
            },
            {
                "parcel": "a big envelope",
                "what": "a drawing of everyone who missed them",
                "who": "an uncle who had moved away",
            },
        ),
        beats=(
            "<brief> <one day> {parent} asked {him} to carry {parcel} to {who}.",
            maybe(
                '"Do not drop it," said {parent}, "and do not peek."',
            ),
            PARAGRAPH,
            (
                "<way>",
                "<meet>",
            ),
            maybe(
                "{Hero} wondered what was in it, and {he} walked a little slower.",
                "It rustled when {he} shook it. But {he} had promised not to look.",
                '"Just one little peek," {he} thought. Then {he} shook {his} head and went on.',
            ),
            (
                "<way>",
                "<way> <meet>",
                "<meet>",
            ),
            (
                "When the wind tried to snatch it, {he} held it with both arms.",
                "When the rain came, {he} put it under {his} own {wear} and got wet {himself}.",
                "By noon {his} arms were tired, but {he} did not put it down in the mud.",
                "",
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            (
                'At last {he} knocked, and the door opened. "Is it for me?" asked a surprised'
                " voice.",
                "The sun hung low when {he} got there. The door opened before {he} could knock.",
            ),
            "Now {he} saw what it was. It was {what}!",
            (
                '"You carried it all this way?" {Hero} nodded and got the best seat by the stove.',
                "They had supper together, and {hero} could stay the night. <night>",
                "There was a hug for {him} and a slice of cake for the way back.",
                "{He} went home with an empty bag and a full heart. {Parent} gave {him} a hug and"
                ' asked, "Did you peek?" "Only when it was time," said {hero}.',
            ),
        ),
    ),
    Plot(
        "the raft",
        world="woods",
        pair=True,
        choices=(
            {"far": "an island with {fruits}", "water": "the bay"},
            {"far": "the other shore, where a fair was on", "water": "the stream"},
            {"far": "an island where nobody had ever been", "water": "the lagoon"},
            {"far": "a rock with the best view in the world", "water": "the bay"},
            {"far": "the other bank, where {gran} lived", "water": "the stream"},
        ),
        beats=(
            '<pair> <one day> they looked across {water} to {far}. "I want to go there," said'
            " {hero}.",
            (
                "They could not swim that far, so they decided to build a raft.",
                '"Then we need a boat," said {friend}, and they got to work.',
            ),
            "<watch>",
            PARAGRAPH,
            (
                "First they made one out of leaves. It sank before they had climbed on.",
                "First they tied some sticks together with grass. After two waves it fell apart,"
                " and they had to paddle back.",
                "First they tried a big basket. It turned around and around until they felt sick.",
            ),
            maybe(
                '"This will never work," said {friend} and shook the water out of {his2} ears.',
                '{Hero} wanted to give up, but {friend} said, "Once more."',
            ),
            (
                'Then {elder} came to watch.{fact elder} "Take dry logs," said {elder}, "and tie'
                ' every knot twice."',
                "Then they saw a spider at work. The spider was patient and tied every thread"
                " twice. So they tied every knot twice too.",
                "Then a beaver came by, looked at their raft, and laughed. But then the beaver"
                " showed them how to do it.",
            ),
            PARAGRAPH,
            (
                "Now the raft held. {Hero} steered, {friend} paddled, and {a bird} showed the way.",
                "This time the raft floated like a duck. {A colour} leaf was their sail.",
                "They pushed off, and the raft danced over the waves without a creak.",
            ),
            (
                "It was even better than they had dreamed. They stayed until the moon came up.",
                '"We did it!" they shouted, and the echo shouted it back.',
                "They ate and laughed, and on the way back they already planned the next trip.",
            ),
            (
                "",
                "One raft had to fail before one could sail. That is how it is with rafts.",
                "<home again>",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "one wish",
        choices=(
            {
                "giver": "a fish with golden fins",
                "giver2": "the fish",
                "rescue": "It lay in a dry ditch, and {he} carried it back to the water",
                "trouble": "could not walk",
                "fixed": "could walk and run",
            },
            {
                "giver": "a fairy",
                "giver2": "the fairy",
                "rescue": "One of its wings had caught on a bramble, and {he} set it free",
                "trouble": "had lost {his2} voice",
                "fixed": "could sing again",
            },
            {
                "giver": "a star",
                "giver2": "the star",
                "rescue": "It had fallen into a bucket, and {he} threw it back into the sky",
                "trouble": "could not see",
                "fixed": "could see all the colors",
            },
            {
                "giver": "a small dragon",
                "giver2": "the dragon",
                "rescue": "Its tail had got stuck under a rock, and {he} lifted the rock",
                "trouble": "had no home",
                "fixed": "had a house with a red roof",
            },
            {
                "giver": "a genie in a bottle",
                "giver2": "the genie",
                "rescue": "{He} pulled out the cork and set it free",
                "trouble": "had been sick for a long time",
                "fixed": "felt well again",
            },
            {
                "giver": "a white unicorn",
                "giver2": "the unicorn",
                "rescue": "It had a splinter in its hoof, and {he} pulled it out",
                "trouble": "never laughed",
                "fixed": "could laugh again",
            },
        ),
        beats=(
            (
                "<open>",
                "<brief>",
            ),
            "<one day> {he} met {giver}. {Rescue}.",
            '"You have been kind," said {giver2}, "so you may make one wish."',
            PARAGRAPH,
            maybe(
                "{Hero} thought of {a toy}, and of a mountain of cake, and of {a colour} pony.",
                "What should {he} take? A bag of gold? A pair of wings? A new {colour} {wear}?",
                '"I could wish to be a king," {he} thought, "or to fly, or to have {a pet} that'
                ' talks."',
            ),
            (
                "{He} went for a walk to think about it. <way>",
                "{He} went for a walk to think about it. <meet>",
                "{He} walked up and down and could not decide. <watch>",
            ),
            PARAGRAPH,
            (
                "Then {he} saw {intro2} who {trouble}. {Hero} looked at {him2} and knew at once.",
                "Then {he} thought of {his} {pal}, who {trouble}.",
            ),
            '"I wish that {friend} {fixed}," said {hero}. "And nothing for yourself?" asked'
            " {giver2}, but {hero} shook {his} head.",
            maybe(
                "There was a flash, and a moment later somebody laughed out loud. It was {friend}!",
                "And it came true, as quickly as you can blink.",
            ),
            (
                "<friends>",
                "The best wish is one that two can enjoy.",
                '{Giver2} smiled. "Then I will give you one more," said a low voice. But {hero}'
                " had everything {he} wanted.",
                "<happy>",
            ),
        ),
    ),
    Plot(
        "end of the rainbow",
        beats=(
            "<brief> <one day> after the rain, a rainbow stood over the land.",
            (
                '"There is a pot of gold at its end," said {elder}.{fact elder} So {hero} set out'
                " to find it.",
                '"What is at the end of it?" asked {hero}. "Nobody knows," said {parent}. So {he}'
                " put on {his} {colour} {wear} and went to see.",
            ),
            PARAGRAPH,
            (
                "<way>",
                "<meet>",
                "<way> <meet>",
            ),
            maybe(
                "But however far {he} went, the rainbow was always a little farther away.",
                "The closer {he} came, the paler the colors grew.",
                "{Hero} ran and ran, but the rainbow ran too.",
            ),
            PARAGRAPH,
            (
                "Then it faded and was gone. {Hero} sat down, {sad} and tired.",
                "When the last color had faded, {he} stood in a strange field, all alone.",
            ),
            (
                'There sat {intro2} who had come from the other side.{fact friend} "So you looked'
                ' for it as well," {he2} said.',
                'Somebody sighed. It was {intro2}.{fact friend} "I thought it ended right here,"'
                " {he2} said.",
            ),
            maybe(
                "They looked at each other and began to laugh. Then they shared {a treat}.{fact"
                " treat}",
                "They walked home together and named all the colors that they had seen.",
            ),
            (
                '"So that is what you find at the end of a rainbow," said {parent} when {hero}'
                ' told the story. "A friend."',
                "There had been no gold. But {hero} would not have traded {friend} for ten pots of"
                " it.",
                "<friends>",
            ),
        ),
    ),
)
